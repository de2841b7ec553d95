from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import mftkit
from mftkit.testing import ConformanceError, ConformanceWarning, TokenizationModeConformance


class OneARow(mftkit.TokenizationMode):
    def layout(
        self, lengths: NDArray[Any], tasks: NDArray[Any], order: NDArray[Any], max_length: int
    ) -> mftkit.Layout:
        return mftkit.Layout(order, np.arange(len(order) + 1))

    def collate(self, samples: mftkit.MicroBatch) -> mftkit.Batch:
        return mftkit.collate(samples)


class Loses(OneARow):
    def layout(
        self, lengths: NDArray[Any], tasks: NDArray[Any], order: NDArray[Any], max_length: int
    ) -> mftkit.Layout:
        return mftkit.Layout(order[:-1], np.arange(len(order)))


class AllInOne(OneARow):
    def layout(
        self, lengths: NDArray[Any], tasks: NDArray[Any], order: NDArray[Any], max_length: int
    ) -> mftkit.Layout:
        return mftkit.Layout(order, np.array([0, len(order)]))


class Sorted(OneARow):
    def layout(
        self, lengths: NDArray[Any], tasks: NDArray[Any], order: NDArray[Any], max_length: int
    ) -> mftkit.Layout:
        return super().layout(lengths, tasks, np.argsort(lengths, kind="stable"), max_length)


class Shuffles(OneARow):
    def layout(
        self, lengths: NDArray[Any], tasks: NDArray[Any], order: NDArray[Any], max_length: int
    ) -> mftkit.Layout:
        return super().layout(lengths, tasks, np.random.permutation(order), max_length)


class Writes(OneARow):
    def layout(
        self, lengths: NDArray[Any], tasks: NDArray[Any], order: NDArray[Any], max_length: int
    ) -> mftkit.Layout:
        order.sort()
        return super().layout(lengths, tasks, order, max_length)


class Pairs(OneARow):
    """Two samples a row, where core would keep them apart."""

    def layout(
        self, lengths: NDArray[Any], tasks: NDArray[Any], order: NDArray[Any], max_length: int
    ) -> mftkit.Layout:
        fits = 2 * lengths.max() <= max_length
        return mftkit.Layout(order, np.unique([*range(0, len(order), 2 if fits else 1), len(order)]))


def changed(**how: Any) -> Any:
    """``OneARow`` whose batches are changed by functions of the batch."""

    class Changed(OneARow):
        def collate(self, samples: mftkit.MicroBatch) -> mftkit.Batch:
            batch = super().collate(samples)
            return replace(batch, **{key: change(batch) for key, change in how.items()})

    return Changed


def suite(component: type[Any]) -> TokenizationModeConformance:
    made = TokenizationModeConformance()
    made.component = component  # type: ignore[misc]
    return made


@pytest.mark.parametrize("component", [OneARow, Pairs])
def test_one_that_does_all_is_let_through(component: type[Any]) -> None:
    for name in dir(TokenizationModeConformance):
        if name.startswith("test_"):
            getattr(suite(component), name)()


@pytest.mark.parametrize(
    ("component", "check", "error", "message"),
    [
        (Loses, "each_sample_has_one_place", mftkit.MftError, "exactly once"),
        (AllInOne, "each_sample_has_one_place", mftkit.MftError, "made a row of"),
        (Sorted, "order_is_read", ConformanceError, "keeps_order = True"),
        (Shuffles, "layout_is_deterministic", ConformanceError, "random state of numpy"),
        (Writes, "it_changes_nothing_it_is_given", ValueError, "read-only"),
        (
            changed(targets=lambda b: b.targets + 1),
            "collate",
            ConformanceError,
            "targets must be the loss tokens",
        ),
        (
            changed(predictor_index=lambda b: b.predictor_index + 1),
            "collate",
            ConformanceError,
            "predictor_index must point at the target's predecessor",
        ),
        (changed(task=lambda b: (b.task + 1) % 3), "collate", ConformanceError, "task must be the task"),
        (
            changed(real_tokens=lambda b: b.input_ids.numel()),
            "collate_several_rows",
            ConformanceError,
            "real_tokens is .*, but the rows hold",
        ),
        (
            changed(sample_index=lambda b: b.sample_index[::-1]),
            "collate_several_rows",
            ConformanceError,
            "sample",
        ),
        (changed(input_ids=lambda b: b.input_ids.int()), "collate", ConformanceError, "int32, not int64"),
        (
            changed(position_ids=lambda b: torch.zeros_like(b.input_ids)),
            "collate",
            ConformanceError,
            "restart at each sample",
        ),
    ],
)
def test_what_is_broken_is_caught(component: type[Any], check: str, error: type[Any], message: str) -> None:
    with pytest.raises(error, match=message):
        getattr(suite(component), f"test_{check}")()


def test_rows_that_are_always_the_same_may_be_promised() -> None:
    suite(type("Kept", (Sorted,), {"keeps_order": True})).test_order_is_read()
    with pytest.warns(ConformanceWarning, match="keeps_order is True, but another order"):
        suite(type("NotKept", (OneARow,), {"keeps_order": True})).test_order_is_read()
    stated = suite(Sorted)
    stated.keeps_order = True  # type: ignore[misc]
    stated.test_order_is_read()


def test_a_mode_may_read_what_it_states() -> None:
    assert not Sorted({}).keeps_order
    assert type("Kept", (Sorted,), {"keeps_order": True})({}).keeps_order is True
