"""Files of a checkpoint are verified and loaded in one pass, whatever order torch reads them in."""

import sys
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from mftkit.base.random_state import random_state
from mftkit.runs import verified_reading
from mftkit.runs.checkpoint import MODEL, STATE, Checkpoint, CheckpointStore
from mftkit.runs.verified_reading import CheckpointError, VerifiedFile, read_state, read_tensors

_opened: Counter[str] = Counter()


def _count(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str):
        _opened[arguments[0]] += 1


sys.addaudithook(_count)


def bytes_read() -> int:
    """What this process has read by calls of the system; mapped files are not in it."""
    return int(Path("/proc/self/io").read_text().split()[1])


def written(directory: Path) -> CheckpointStore:
    weights = {f"w{i}": torch.randn(300, 1000) for i in range(6)}
    moments: dict[int, Any] = {i: {"step": torch.tensor(1.0), "m": torch.randn(300, 1000)} for i in range(6)}
    state = {"moments": moments, "random": random_state(), "words": [str(i) for i in range(20_000)]}
    store = CheckpointStore(directory)
    store.write(1, Checkpoint(weights, state, {}))
    return store


@pytest.mark.parametrize("tail", [verified_reading.TAIL, 30_000])
def test_no_byte_of_a_checkpoint_is_read_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tail: int
) -> None:
    store = written(tmp_path)
    store.read(1)  # what is imported now is read now
    monkeypatch.setattr(verified_reading, "TAIL", tail)
    files = [store.path(1) / name for name in (MODEL, STATE)]
    sizes = sum(file.stat().st_size for file in files)
    _opened.clear()
    before = bytes_read()
    read = store.read(1)
    assert bytes_read() - before < sizes * 1.01
    assert [_opened[str(file)] for file in files] == [1, 1]
    assert read.model.keys() == {f"w{i}" for i in range(6)}
    assert torch.equal(read.state["moments"][5]["m"], store.read(1).state["moments"][5]["m"])


def test_tensors_of_every_dtype_and_shape_are_read(tmp_path: Path) -> None:
    tensors = {
        "bytes": torch.arange(3, dtype=torch.uint8),
        "flag": torch.tensor([True, False]),
        "half": torch.randn(3, 5).bfloat16(),
        "number": torch.tensor(7),
        "none": torch.zeros(0, 4),
        "double": torch.randn(2, 3, dtype=torch.float64),
    }
    file = tmp_path / "some.safetensors"
    save_file(tensors, file, {"format": "pt"})
    found = read_tensors(file, [file.stat().st_size, zlib.crc32(file.read_bytes())])
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def test_a_file_that_is_no_checkpoint_is_damaged(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"no such file" * 10)
    right = [120, zlib.crc32(file.read_bytes())]
    for read in (read_tensors, read_state):
        with pytest.raises(CheckpointError, match="file is damaged"):
            read(file, right)
        with pytest.raises(CheckpointError, match="gone is damaged"):
            read(tmp_path / "gone", right)


@pytest.mark.parametrize("kept", [0, 1 << 20])
def test_the_checksum_is_that_of_all_bytes_in_any_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr(verified_reading, "TAIL", 100)
    monkeypatch.setattr(verified_reading, "KEPT", kept)
    content = bytes(i * i % 251 for i in range(5000))
    (tmp_path / "file").write_bytes(content)
    with VerifiedFile(tmp_path / "file") as file:
        for offset, count in ((4950, 50), (1000, 10), (20, 3000), (3000, 100), (0, 5000), (4990, 100)):
            file.seek(offset)
            assert file.read(count) == content[offset : offset + count]
        assert file.fingerprint() == [5000, zlib.crc32(content)]
    with VerifiedFile(tmp_path / "file") as file:
        file.read(10)
        assert file.fingerprint() == [5000, zlib.crc32(content)]
