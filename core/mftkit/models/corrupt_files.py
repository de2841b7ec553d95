"""Find weight files that are truncated or corrupt: the errors of their readers name no file."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path


def corrupt_files(path: str | None) -> list[str]:
    """Return the names of a directory's weight files, and of their indexes, that are truncated or corrupt."""
    if path is None or not Path(path).is_dir():
        return []
    patterns = ("*.safetensors", "*.bin", "*.index.json")
    files = [file for pattern in patterns for file in sorted(Path(path).glob(pattern))]
    return [file.name for file in files if not _is_readable(file)]


def _is_readable(file: Path) -> bool:
    try:
        if file.suffix == ".json":
            return _is_index(file)
        return _is_torch(file) if file.suffix == ".bin" else _is_safetensors(file)
    except OSError:  # a directory of that name
        return False


def _is_torch(file: Path) -> bool:
    with file.open("rb") as stream:
        legacy = (
            stream.read(1) == b"\x80"
        )  # torch.save before 1.6 wrote a bare pickle, which has no length to check
    return legacy or zipfile.is_zipfile(file)


def _is_safetensors(file: Path) -> bool:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt"):
            return True
    except SafetensorError:
        return False


def _is_index(file: Path) -> bool:
    """Return True if transformers can read the index: the file of each weight, and metadata (which may be empty)."""
    try:
        index = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        return False
    if not isinstance(index, dict) or not isinstance(index.get("metadata"), dict):
        return False
    return isinstance(index.get("weight_map"), dict) and bool(index["weight_map"])
