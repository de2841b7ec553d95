"""Which files of weights are not whole: their readers name no file."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path


def damaged_files(path: str | None) -> list[str]:
    """The names of a directory's files of weights, and of their indexes, that are cut off or damaged."""
    if path is None or not Path(path).is_dir():
        return []
    endings = ("*.safetensors", "*.bin", "*.index.json")
    files = [file for ending in endings for file in sorted(Path(path).glob(ending))]
    return [file.name for file in files if not _is_whole(file)]


def _is_whole(file: Path) -> bool:
    try:
        if file.suffix == ".json":
            return _is_index(file)
        return _is_torch(file) if file.suffix == ".bin" else _is_safetensors(file)
    except OSError:  # a directory of that name
        return False


def _is_torch(file: Path) -> bool:
    with file.open("rb") as held:
        old = held.read(1) == b"\x80"  # torch.save before 1.6 wrote a bare pickle, which cannot be told
    return old or zipfile.is_zipfile(file)


def _is_safetensors(file: Path) -> bool:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt"):
            return True
    except SafetensorError:
        return False


def _is_index(file: Path) -> bool:
    """Whether transformers can read it: which file has which weight, and metadata, be they empty."""
    try:
        index = json.loads(file.read_bytes())
    except ValueError:
        return False
    return isinstance(index, dict) and all(
        isinstance(index.get(key), dict) for key in ("weight_map", "metadata")
    )
