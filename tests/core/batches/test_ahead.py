"""Batches made one step ahead: the same ones, in the same order, whatever becomes of the run meanwhile."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from mftkit.batches.ahead import BatchesAhead, StepBatch
from mftkit.batches.changing_sampler import ChangingSampler
from mftkit.batches.sampler import BatchSampler, GlobalBatch
from mftkit.data.mixing import Mixture
from mftkit.interfaces.tokenization import Layout, TokenizationMode
from mftkit_registry import MftError

TASK = np.repeat(np.arange(2), (20, 9))
TOTAL = 15


class One(TokenizationMode):
    """One sample a row."""

    def layout(
        self, lengths: NDArray[Any], tasks: NDArray[Any], order: NDArray[Any], max_length: int
    ) -> Layout:
        return Layout(order, np.arange(len(order) + 1))


class Samples(SimpleNamespace):
    is_streamed = False

    def in_epoch(self, epoch: int) -> Samples:
        return self


def sampler(kind: type[BatchSampler] = BatchSampler, *, streamed: bool = False) -> Any:
    lengths = np.random.default_rng(0).integers(2, 9, len(TASK))
    samples: Any = Samples(lengths=lengths, loss_tokens=lengths - 1, task=TASK, is_streamed=streamed)
    mixed: Any = {"mixture": Mixture(TASK, (20, 9), 1)} if kind is ChangingSampler else {}
    mode = One(cast(Any, None))
    return kind(
        samples, mode, tasks=2, seed=1, batch_size=4, max_length=16, epochs=2, max_steps=TOTAL, **mixed
    )


class Making:
    """Makes batches, and keeps in which thread it made which."""

    def __init__(self, fails: int | None = None) -> None:
        self.made: list[tuple[int, str]] = []
        self.fails = fails
        self.may_end = threading.Event()
        self.may_end.set()
        self.ended = threading.Event()
        """The second one is made."""

    def __call__(self, batch: GlobalBatch) -> StepBatch:
        self.may_end.wait()
        self.made.append((batch.number, threading.current_thread().name))
        if len(self.made) == 2:
            self.ended.set()
        if batch.number == self.fails:
            raise MftError("the token cache is damaged")
        return StepBatch(batch, [[row] for row in batch.rows], [])

    @property
    def inline(self) -> list[int]:
        return [number for number, thread in self.made if thread == threading.current_thread().name]


def rows(batch: GlobalBatch) -> list[list[int]]:
    return [row.tolist() for row in batch.rows]


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("batches ahead")]


def test_each_step_but_the_first_is_made_before_it_is_asked_for() -> None:
    plain, ahead = sampler(), BatchesAhead(sampler(), making := Making())
    assert [rows(ahead.take(n).batch) for n in range(1, TOTAL + 1)] == [
        rows(plain[n]) for n in range(1, TOTAL + 1)
    ]
    assert [number for number, _ in making.made] == list(range(1, TOTAL + 1)), (
        "none twice, none after the last"
    )
    assert making.inline == [1]
    ahead.end()
    assert not threads()


def test_the_next_batch_is_made_while_the_step_runs() -> None:
    ahead = BatchesAhead(sampler(), making := Making())
    ahead.take(1)
    assert making.ended.wait(60)
    assert [number for number, _ in making.made] == [1, 2], (
        "step 1 is trained now, and nobody has asked for 2"
    )
    making.may_end.clear()
    assert ahead.take(2).batch.number == 2, "does not wait for step 3"
    making.may_end.set()
    ahead.end()


@pytest.mark.parametrize("to", [1, 2, 9, TOTAL])
def test_after_a_jump_the_batch_is_that_of_the_step_asked_for(to: int) -> None:
    plain, ahead = sampler(), BatchesAhead(sampler(), Making())
    for number in (1, 2, 3, to):
        made = ahead.take(number)
        assert made.batch.number == number
        assert rows(made.batch) == rows(plain[number])
    ahead.forget()
    assert rows(ahead.take(to).batch) == rows(plain[to])
    ahead.end()


def test_an_error_is_raised_when_its_step_is_asked_for() -> None:
    ahead = BatchesAhead(sampler(), Making(fails=3))
    ahead.take(1)
    ahead.take(2)
    with pytest.raises(MftError, match="the token cache is damaged"):
        ahead.take(3)
    ahead.end()
    assert not threads()


def test_an_error_of_a_step_that_is_never_trained_is_dropped() -> None:
    ahead = BatchesAhead(sampler(), Making(fails=2))
    ahead.take(1)
    ahead.end()
    assert not threads()


def test_a_batch_of_an_interval_that_is_not_decided_is_made_after_the_step() -> None:
    plain, changing = sampler(ChangingSampler), sampler(ChangingSampler)
    ahead = BatchesAhead(changing, making := Making())
    shares = [np.array([share, 1 - share]) for share in (0.5, 0.9, 0.2, 0.4)]
    for each in (plain, changing):
        each.start(3)
    for number in range(1, 13):
        if number % 3 == 1:
            for each in (plain, changing):
                each.decide(shares[number // 3])
        assert rows(ahead.take(number).batch) == rows(plain[number])
    ahead.end()
    assert making.inline == [1, 4, 7, 10]


def test_a_chunk_of_a_stream_is_not_replaced_before_its_last_step_is_trained() -> None:
    streamed = sampler(streamed=True)
    ahead = BatchesAhead(streamed, making := Making())
    for number in range(1, TOTAL + 1):
        ahead.take(number)
        if number == 8:
            assert streamed.ends == [8], "what a checkpoint of this step keeps"
    ahead.end()
    assert making.inline == [1, 9]
