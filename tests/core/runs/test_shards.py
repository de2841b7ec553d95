"""Shards of a checkpoint: written in parts, read whole or into tensors, verified as they are read."""

import json
import os
import pickle
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mftkit.runs.checkpoint import Checkpoint, CheckpointError, CheckpointStore
from mftkit.runs.shard_reading import Shards
from mftkit.runs.shard_writing import ShardPlan, finish_shards

WEIGHTS = {
    "model.one": torch.arange(12.0).reshape(4, 3),
    "model.two": torch.arange(5.0).bfloat16(),
    "optimizer.0.exp_avg": torch.full((4, 3), 2.0),
}


def write(directory: Path, processes: int = 2) -> CheckpointStore:
    """A checkpoint of ``WEIGHTS``, which every process has, so that each of them writes some."""
    store = CheckpointStore(directory)
    path = store.path(3)
    path.mkdir(parents=True)
    written: list[Any] = []
    for rank in range(processes):
        plan = ShardPlan(WEIGHTS, rank, lambda local: [local] * processes)
        staged = plan.stage(WEIGHTS, lambda _, tensor: tensor.clone())
        written.append(staged.write(path))
    own = store.write_own(path, Checkpoint({}, {"progress": 3}, {}), has_shards=True)
    store.write_manifest(path, 3, {}, own | finish_shards(path, staged.metadata, written))
    return store


@pytest.mark.parametrize("processes", [1, 2])
def test_what_processes_wrote_is_read_whole(tmp_path: Path, processes: int) -> None:
    store = write(tmp_path, processes)
    names = sorted(file.name for file in (store.path(3) / "shards").glob("*.distcp"))
    assert names == [f"__{rank}_0.distcp" for rank in range(processes)]
    weights, manifest = store.read_weights(3)
    assert manifest["step"] == 3
    assert weights.keys() == {"one", "two"}
    for name, tensor in weights.items():
        assert torch.equal(tensor, WEIGHTS[f"model.{name}"])
        assert tensor.dtype == WEIGHTS[f"model.{name}"].dtype
    shards = store.read(3).shards
    assert shards is not None
    assert torch.equal(shards.whole("optimizer.")["0.exp_avg"], torch.full((4, 3), 2.0))


def test_weights_are_read_into_the_tensors_of_a_model(tmp_path: Path) -> None:
    store, own = write(tmp_path), {"one": torch.zeros(4, 3, dtype=torch.float64), "two": torch.zeros(6)}
    weights, _ = store.read_weights(3, own)
    assert weights["one"] is own["one"]
    assert torch.equal(own["one"], WEIGHTS["model.one"].double())
    assert weights["two"].shape == (5,)  # of another shape: whoever loads it reports that


def test_the_manifest_has_every_file(tmp_path: Path) -> None:
    path = write(tmp_path).path(3)
    found = {
        str(file.relative_to(path)): [file.stat().st_size, zlib.crc32(file.read_bytes())]
        for file in path.rglob("*")
        if file.is_file() and file.name != "manifest.json"
    }
    assert json.loads((path / "manifest.json").read_text())["files"] == found


@pytest.mark.parametrize("name", ["__1_0.distcp", ".metadata", "checksums.json"])
@pytest.mark.parametrize("damage", ["cut", "altered", "gone"])
def test_damage_is_noticed(tmp_path: Path, name: str, damage: str) -> None:
    store = write(tmp_path)
    file = store.path(3) / "shards" / name
    content = file.read_bytes()
    middle = len(content) // 2
    altered = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    file.unlink() if damage == "gone" else file.write_bytes(content[:-1] if damage == "cut" else altered)
    with pytest.raises(CheckpointError, match=f"{name} is damaged"):
        store.read_weights(3)
        shards = store.read(3).shards
        assert shards is not None
        shards.whole("optimizer.")


class _Attack:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch attacked",)


def test_a_description_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path).path(3)
    content = pickle.dumps(_Attack())
    (path / "shards" / ".metadata").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"\.metadata is damaged: .*system is not expected"):
        Shards(path, {"shards/.metadata": [len(content), zlib.crc32(content)]})
    assert not (tmp_path / "attacked").exists()
