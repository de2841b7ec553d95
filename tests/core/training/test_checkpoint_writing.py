"""A checkpoint is written while training continues: from a copy, one at a time, and reported once it is complete."""

import time
from pathlib import Path
from typing import Any

import pytest
import torch

from mftkit.runs.checkpoint import Checkpoint, CheckpointStore
from mftkit.training.checkpoint_writing import CheckpointWriting
from mftkit.training.host_copies import HostCopies
from mftkit.training.run_state import CapturedState
from mftkit_registry import MftError

SECONDS = 0.4


class Alone:
    """A process by itself."""

    is_main, rank = True, 0

    def gather(self, value: Any) -> list[Any]:
        return [value]

    def barrier(self) -> None:
        pass


class SlowStore(CheckpointStore):
    """Takes a while to write."""

    fault: Exception | None = None

    def write(self, step: int, checkpoint: Checkpoint) -> Path:
        time.sleep(SECONDS)
        if self.fault is not None:
            raise self.fault
        return super().write(step, checkpoint)


class Session:
    """Checkpoints of one weight, in whose state the step stands."""

    def __init__(self, directory: Path, *, asynchronous: bool = True) -> None:
        self.store = SlowStore(directory)
        self.saved: list[int] = []
        self.weight = torch.zeros(3)
        processes: Any = Alone()
        self.writing = CheckpointWriting(
            self.store, processes, lambda step, _: self.saved.append(step), asynchronous=asynchronous
        )

    def save(self, step: int) -> float:
        """Returns the seconds that the step waited."""
        began = time.perf_counter()
        state = {"tensor": self.weight, "step": step, "nested": [self.weight]}
        captured = CapturedState(Checkpoint({"w": self.weight}, state, {}), {})
        self.writing.start(step, captured, lambda _: {1}, 1)
        return time.perf_counter() - began


def test_a_step_waits_for_less_than_a_tenth_of_the_writing(tmp_path: Path) -> None:
    session = Session(tmp_path)
    assert session.save(1) < SECONDS / 10
    assert session.writing.is_busy
    assert (session.writing.steps, session.store.steps(), session.saved) == ([1], [], [])
    session.weight += 1  # the next step
    session.writing.wait()
    assert (session.store.steps(), session.saved) == ([1], [1])
    read = session.store.read(1)
    assert torch.equal(read.model["w"], torch.zeros(3))
    assert torch.equal(read.state["nested"][0], torch.zeros(3))


def test_the_next_one_waits_and_removes_only_when_it_is_complete(tmp_path: Path) -> None:
    session = Session(tmp_path)
    for step in (1, 2, 3):
        session.weight += 1
        waited = session.save(step)
    assert waited > SECONDS / 2
    assert (session.saved, session.store.steps(), session.writing.steps) == ([1, 2], [1, 2], [1, 3])
    session.writing.end()
    assert session.store.steps() == [1, 3]
    assert not list(tmp_path.glob(".*"))
    assert torch.equal(session.store.read(3).model["w"], torch.full((3,), 3.0))


def test_without_it_the_step_waits(tmp_path: Path) -> None:
    session = Session(tmp_path, asynchronous=False)
    assert session.save(1) >= SECONDS
    assert (session.saved, session.writing.is_busy) == ([1], False)


def test_a_fault_is_raised_at_the_next_contact_and_leaves_the_earlier_one(tmp_path: Path) -> None:
    session = Session(tmp_path)
    session.save(1)
    session.writing.wait()
    session.store.fault = MftError("cannot write it")
    session.save(2)
    with pytest.raises(MftError, match="cannot write it"):
        session.writing.wait()
    assert (session.store.steps(), session.saved) == ([1], [1])


def test_after_another_error_the_checkpoint_is_completed(tmp_path: Path) -> None:
    session = Session(tmp_path)
    session.save(1)
    session.writing.wait_alone()
    assert (session.store.steps(), session.saved) == ([1], [1])


def test_copies_use_their_memory_again() -> None:
    copies, places = HostCopies(), []
    for value in (1.0, 2.0):
        copies.begin()
        copied = copies.nested("state", {"a": [torch.full((2,), value)], "b": (1, None)})
        copies.end()
        assert torch.equal(copied["a"][0], torch.full((2,), value))
        assert copied["b"] == (1, None)
        places.append(copied["a"][0].data_ptr())
    assert places[0] == places[1]


def test_the_first_copies_get_memory_that_was_reserved_while_the_run_trained() -> None:
    copies, given = HostCopies(), [torch.ones(2, 3), torch.ones(4), torch.ones(4)]
    copies.reserve(given)
    assert copies._reserving is not None
    copies._reserving.join()
    reserved = {each.data_ptr() for of_kind in copies._reserved.values() for each in of_kind}
    copies.begin()
    copied = [copies.tensor(str(i), each) for i, each in enumerate([*given, torch.ones(5)])]
    copies.end()
    assert {each.data_ptr() for each in copied[:3]} == reserved
    assert all(bool((each == 1).all()) for each in copied)
    assert not copies._reserved


@pytest.mark.parametrize("asynchronous", [True, False])
def test_memory_is_reserved_once_and_only_for_copies_made_while_the_run_trains(
    tmp_path: Path, asynchronous: bool
) -> None:
    session, asked = Session(tmp_path, asynchronous=asynchronous), []

    def copied() -> list[torch.Tensor]:
        asked.append(session.weight)
        return [session.weight]

    session.writing.reserve(copied)
    session.writing.reserve(copied)
    assert len(asked) == asynchronous
    session.save(1)
    session.writing.end()
    assert session.saved == [1]
