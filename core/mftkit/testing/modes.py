"""Checks of every tokenization mode."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from mftkit.batches.sampler import check_layout
from mftkit.interfaces.tokenization import MicroBatch, Sample
from mftkit.testing.assertions import advise, require
from mftkit.testing.batches import check_batch
from mftkit.testing.conformance import Conformance
from mftkit.testing.randomness import assert_rng_untouched, seeded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from mftkit.interfaces.tokenization import Layout, TokenizationMode

MAX_LENGTH = 24
PAD = 0
STRIDE = 64
"""A sample's tokens are ``STRIDE * (1 + its number) + place``: each token identifies its sample."""


class TokenizationModeConformance(Conformance):
    """Checks of ``mftkit.TokenizationMode`` on samples of different lengths."""

    keeps_order: ClassVar[bool | None] = None
    """True: it is intended that every epoch has the same rows in the same order."""

    def lengths(self) -> dict[str, NDArray[np.int64]]:
        """Return sample lengths of at most ``MAX_LENGTH``, by description."""
        drawn = np.random.default_rng(0)
        return {
            "uneven lengths": drawn.integers(1, MAX_LENGTH + 1, 200),
            "short samples": drawn.integers(1, 4, 150),
            "samples as long as a row": np.full(40, MAX_LENGTH),
            "equal lengths": np.full(60, 5),
            "one sample": np.array([7]),
        }

    def test_each_sample_has_one_place(self) -> None:
        """Each sample is in exactly one row, once, and no row is longer than max_length."""
        mode = self.make()
        for description, lengths in self.lengths().items():
            for seed in (0, 1):
                layout = lay_out(mode, lengths, len(self.tasks), seed)
                try:
                    check_layout(layout, lengths, MAX_LENGTH, type(mode).__name__)
                except Exception as error:
                    raise type(error)(f"{description}: {error}") from error

    def test_layout_is_deterministic(self) -> None:
        """The rows are always the same: ``order`` is the only source of randomness."""
        lengths = self.lengths()["uneven lengths"]
        layouts = []
        for seed in (0, 1):
            with seeded(seed), assert_rng_untouched("layout"):
                layouts.append(lay_out(self.make(), lengths, len(self.tasks), 5))
        require(
            _same(*layouts), "layout is not deterministic: the same samples and order gave different rows"
        )

    def test_order_is_read(self) -> None:
        """Another order gives different rows, unless ``keeps_order`` is True."""
        mode, lengths = self.make(), self.lengths()["uneven lengths"]
        keeps_order = self.stated("keeps_order")
        same = _same(*(lay_out(mode, lengths, len(self.tasks), seed) for seed in (0, 1)))
        require(
            not same or bool(keeps_order),
            "every epoch has the same rows in the same order: layout does not read ``order``. If that is "
            "intended, set keeps_order = True in the test class",
        )
        if keeps_order and not same:
            advise("keeps_order is True, but another order gives different rows")

    def test_it_changes_nothing_it_is_given(self) -> None:
        """``layout`` accepts read-only arrays."""
        lay_out(self.make(), self.lengths()["uneven lengths"], len(self.tasks), 0)

    def test_collate(self) -> None:
        """Targets, positions, tasks and samples of every row are correct, whatever its length."""
        self._collate(1)

    def test_collate_several_rows(self) -> None:
        """The same for micro-batches of several rows."""
        self._collate(4)

    def test_collate_draws_nothing(self) -> None:
        """``collate`` draws no random numbers: it runs beside the step before, whose dropout draws them."""
        mode = self.make()
        samples = [_sample(index, 3 + index) for index in range(4)]
        rows = next(_rows_of(mode, samples, len(self.tasks), 2))
        with assert_rng_untouched("collate"):
            mode.collate(MicroBatch(rows, MAX_LENGTH, PAD))

    def test_first_tokens_never_count(self) -> None:
        """A sample's first token is never a loss token, even if the sample's loss mask marks it as one."""
        mode = self.make()
        samples = [_sample(index, length, every=1) for index, length in enumerate((1, 3, 2, MAX_LENGTH))]
        for rows in _rows_of(mode, samples, len(self.tasks), 2):
            check_batch(mode.collate(MicroBatch(rows, MAX_LENGTH, PAD)), rows, MAX_LENGTH, PAD)

    def test_without_isolation(self) -> None:
        """The mode for models that cannot isolate, if there is one, puts one sample in each row."""
        other, lengths = self.make().without_isolation(), self.lengths()["uneven lengths"]
        if other is not None:
            layout = lay_out(other, lengths, len(self.tasks), 0)
            require(
                len(layout.offsets) == len(lengths) + 1,
                "the mode that without_isolation returns puts several samples in a row",
            )
            require(
                bool(other.describe()), "the mode that without_isolation returns does not describe its rows"
            )

    def _collate(self, rows_at_once: int) -> None:
        mode = self.make()
        for lengths in self.lengths().values():
            samples = [_sample(index, int(length)) for index, length in enumerate(lengths[:40])]
            for rows in _rows_of(mode, samples, len(self.tasks), rows_at_once):
                check_batch(mode.collate(MicroBatch(rows, MAX_LENGTH, PAD)), rows, MAX_LENGTH, PAD)


def lay_out(mode: TokenizationMode, lengths: NDArray[np.int64], tasks: int, seed: int) -> Layout:
    """Lay out samples of these lengths, of alternating tasks, in an order drawn from ``seed``."""
    order = np.random.default_rng(seed).permutation(len(lengths))
    lengths, task = lengths.copy(), np.arange(len(lengths)) % tasks
    for array in (lengths, task, order):
        array.flags.writeable = False
    return mode.layout(lengths, task, order, MAX_LENGTH)


def _same(one: Layout, other: Layout) -> bool:
    return np.array_equal(one.samples, other.samples) and np.array_equal(one.offsets, other.offsets)


def _sample(index: int, length: int, every: int = 2) -> Sample:
    """Return a sample whose tokens identify it; every ``every``-th is a loss token, or none (in some samples)."""
    tokens = (STRIDE * (1 + index) + np.arange(length)).astype(np.int32)
    loss_mask = np.arange(length) % every == 0
    if every > 1 and index % 5 == 4:
        loss_mask[:] = False
    tokens.flags.writeable = loss_mask.flags.writeable = False
    return Sample(100 + index, index % 3, tokens, loss_mask)


def _rows_of(
    mode: TokenizationMode, samples: list[Sample], tasks: int, at_once: int
) -> Iterator[tuple[tuple[Sample, ...], ...]]:
    """Yield the rows that the mode lays out from the samples, a few at a time."""
    lengths = np.array([len(sample.tokens) for sample in samples])
    layout = lay_out(mode, lengths, tasks, 0)
    rows = [tuple(samples[int(i)] for i in layout.samples[a:b]) for a, b in pairwise(layout.offsets.tolist())]
    for first in range(0, len(rows), at_once):
        yield tuple(rows[first : first + at_once])
