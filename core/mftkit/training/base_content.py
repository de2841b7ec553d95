"""The content of the base model that a run starts from, recognised wherever it lies."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from mftkit.base.json_files import read_json_object
from mftkit.models.converted import checkpoint_file

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = "config.json"
WEIGHTS = (".safetensors", ".bin", ".pt", ".pth")
"""Endings of files of weights; only those of the first kind that there is are read."""
NOT_CONTENT = ("_name_or_path", "transformers_version")
"""Keys of config.json that say where a checkpoint came from and what wrote it."""
BLOCK, BLOCKS = 1 << 16, 65
"""Bytes of a sample of a file of weights, and samples per file."""


def base_content(path: str | None, revision: str | None = None) -> str | None:
    """A fingerprint of a checkpoint in a directory or on the hub: of its config, and of samples of its weights.

    It takes a fraction of a second for any size. None without a path, or if there are no weights to read; those of a
    hub id are there only once the model has been loaded.
    """
    config = None if path is None else checkpoint_file(path, CONFIG, revision)
    weights = [] if config is None else _weights(config.parent)
    if config is None or not weights:
        return None
    total = hashlib.sha256()
    try:
        content = {key: value for key, value in read_json_object(config).items() if key not in NOT_CONTENT}
        total.update(json.dumps(content, sort_keys=True).encode())
        for file in weights:
            total.update(f"\0{file.name}\0{file.stat().st_size}\0".encode())
            _add_samples(file, total)
    except (OSError, ValueError):
        return None
    return total.hexdigest()


def _weights(directory: Path) -> list[Path]:
    files = [file for file in sorted(directory.iterdir()) if file.is_file()]
    of_kinds = ([file for file in files if file.suffix == ending] for ending in WEIGHTS)
    return next((found for found in of_kinds if found), [])


def _add_samples(path: Path, total: hashlib._Hash) -> None:
    size = path.stat().st_size
    last = max(0, size - BLOCK)
    with path.open("rb") as file:
        for number in range(BLOCKS):
            file.seek(last * number // (BLOCKS - 1))
            total.update(file.read(BLOCK))
