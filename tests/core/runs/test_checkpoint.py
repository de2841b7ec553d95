import random
from pathlib import Path

import numpy as np
import pytest
import torch

from mftkit.runs.checkpoint import (
    MODEL,
    STATE,
    Checkpoint,
    CheckpointError,
    CheckpointStore,
    random_state,
    set_random_state,
    surplus,
)


def checkpoint(value: float = 1.0) -> Checkpoint:
    return Checkpoint(
        model={"weight": torch.full((4,), value)},
        state={"progress": {"step": 3, "best": None}, "moments": torch.arange(3)},
        manifest={"data": "abc", "processes": 1},
    )


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "checkpoints")


def test_what_was_written_is_read(store: CheckpointStore) -> None:
    path = store.write(7, checkpoint())
    assert path.name == "step-00000007"
    read = store.read(7)
    assert torch.equal(read.model["weight"], torch.ones(4))
    assert read.state["progress"] == {"step": 3, "best": None}
    assert read.manifest["step"] == 7
    assert read.manifest["data"] == "abc"


@pytest.mark.parametrize("name", [MODEL, STATE])
@pytest.mark.parametrize("damage", ["cut", "altered", "gone"])
def test_damage_is_noticed(store: CheckpointStore, name: str, damage: str) -> None:
    file = store.write(1, checkpoint()) / name
    content = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(content[:-1] if damage == "cut" else content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(CheckpointError, match="damaged"):
        store.read(1)


def test_the_newest_and_the_best_are_no_surplus() -> None:
    assert surplus([1, 2, 3, 4, 5], 2, {2}) == [1, 3]
    assert surplus([2, 4, 5], 1, set()) == [2, 4]
    assert surplus([5], 2, set()) == []


def test_half_written_ones_are_neither_listed_nor_left(store: CheckpointStore) -> None:
    store.write(1, checkpoint())
    (store.directory / ".step-00000002.partial").mkdir()
    assert store.steps() == [1]
    store.clear_partial()
    assert [entry.name for entry in store.directory.iterdir()] == ["step-00000001"]


def test_random_numbers_continue_where_they_were(store: CheckpointStore) -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.random()), float(torch.rand(()))

    random.gauss(0, 1)  # leaves a second number behind, which is state too
    np.random.normal()
    store.write(1, Checkpoint({"w": torch.zeros(1)}, random_state(), {}))
    expected = draw(), random.gauss(0, 1), float(np.random.normal())
    draw()
    set_random_state(store.read(1).state)
    assert (draw(), random.gauss(0, 1), float(np.random.normal())) == expected


def test_random_state_of_more_devices_than_there_are_is_left_out() -> None:
    state = random_state()
    saved = [torch.get_rng_state()] * (torch.cuda.device_count() + 1)
    set_random_state({**state, "cuda": [*state["cuda"], saved[-1]]})
