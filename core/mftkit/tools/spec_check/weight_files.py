"""Whether the weight files of a checkpoint are all there, by their names and sizes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mftkit.models.weight_index import shards_of

if TYPE_CHECKING:
    from pathlib import Path

WHOLE = ("model.safetensors", "pytorch_model.bin")
"""In the order in which transformers looks for them; after each its index of several files."""
OTHER = ("*.safetensors", "*.bin", "*.pt", "*.pth")
"""Files that some adapters read under names of their own."""
_SHOWN = 5
_LENGTH = 8
"""Bytes of the header's length, with which a safetensors file begins."""


def missing_weights(directory: Path) -> str | None:
    """What is wrong with the weight files of a directory, in a sentence; None if nothing is."""
    for name in WHOLE:
        if (directory / name).is_file():
            return _incomplete(directory / name)
        if (directory / f"{name}.index.json").is_file():
            return _missing_shards(directory, f"{name}.index.json")
    if any(next(directory.glob(pattern), None) is not None for pattern in OTHER):
        return None
    return f"{directory} has no weights ({' or '.join(WHOLE)}, or an index of several files)"


def _missing_shards(directory: Path, index: str) -> str | None:
    try:
        shards = shards_of(directory / index)
    except (OSError, ValueError) as error:
        return f"{directory / index} cannot be read as an index of weight files ({error}); download it again"
    missing = [name for name in shards if not (directory / name).is_file()]
    if missing:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        listed = ", ".join(missing[:_SHOWN])
        return f"{directory} lacks {len(missing)} of {len(shards)} weight files: {listed}{more}"
    problems = (_incomplete(directory / name) for name in shards)
    return next((problem for problem in problems if problem), None)


def _incomplete(file: Path) -> str | None:
    """Whether a file is empty, or a safetensors file shorter than its header says."""
    size = file.stat().st_size
    if size == 0:
        return f"{file} is empty; download it again"
    if file.suffix != ".safetensors":
        return None
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(_LENGTH), "little")
        header = stream.read(length) if length < size else b""
    try:
        ends = [
            entry["data_offsets"][1] for name, entry in json.loads(header).items() if name != "__metadata__"
        ]
        whole = _LENGTH + length + max(ends, default=0)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return f"{file} is truncated or corrupt; download it again"
    if size < whole:
        return f"{file} is truncated; download it again"
    return None
