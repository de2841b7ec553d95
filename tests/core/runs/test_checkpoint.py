import json
from pathlib import Path

import pytest
import torch

from mftkit.base.checksums import CHECKSUM
from mftkit.runs.checkpoint import (
    MANIFEST,
    MODEL,
    STATE,
    Checkpoint,
    CheckpointError,
    CheckpointStore,
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


@pytest.mark.parametrize("key", ["step", "data", "files"])
def test_an_altered_manifest_is_noticed(store: CheckpointStore, key: str) -> None:
    file = store.write(1, checkpoint()) / MANIFEST
    manifest = json.loads(file.read_text())
    altered = {"step": 2, "data": "abd", "files": {MODEL: manifest["files"][MODEL]}}[key]
    file.write_text(json.dumps({**manifest, key: altered}))
    with pytest.raises(CheckpointError, match=r"manifest\.json: its content is not the one that was written"):
        store.read(1)


def test_a_manifest_of_an_earlier_version_has_no_checksum(store: CheckpointStore) -> None:
    file = store.write(1, checkpoint()) / MANIFEST
    manifest = json.loads(file.read_text())
    del manifest[CHECKSUM]
    file.write_text(json.dumps(manifest))
    assert store.read(1).manifest["data"] == "abc"


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
