"""Which files of weights are not whole: their readers name no file."""

from __future__ import annotations

import zipfile
from pathlib import Path


def damaged_files(path: str | None) -> list[str]:
    """The names of a directory's files of weights that are cut off or damaged."""
    if path is None or not Path(path).is_dir():
        return []
    files = [*sorted(Path(path).glob("*.safetensors")), *sorted(Path(path).glob("*.bin"))]
    return [file.name for file in files if not _is_whole(file)]


def _is_whole(file: Path) -> bool:
    from safetensors import SafetensorError, safe_open

    if file.suffix == ".bin":
        with file.open("rb") as held:
            old = held.read(1) == b"\x80"  # torch.save before 1.6 wrote a bare pickle, which cannot be told
        return old or zipfile.is_zipfile(file)
    try:
        with safe_open(file, "pt"):
            return True
    except SafetensorError:
        return False
