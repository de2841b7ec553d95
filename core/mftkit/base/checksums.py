"""Checksums by which a damaged file is found: of its bytes, or of what a JSON file says."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.base.json_types import JsonObject

CHECKSUM = "checksum"
"""Key of a JSON object: the CRC-32 of the others."""
_BLOCK = 1 << 22


def fingerprint(path: Path) -> list[int]:
    """Size in bytes and CRC-32: enough to detect a truncated or altered file, at the disk's speed."""
    crc = 0
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            crc = zlib.crc32(block, crc)
    return [path.stat().st_size, crc]


def with_checksum(value: JsonObject) -> JsonObject:
    """A JSON object with the checksum of its content."""
    return {**value, CHECKSUM: _checksum(value)}


def verify_checksum(value: JsonObject) -> None:
    """Raise ValueError if a JSON object is not as ``with_checksum`` made it; one of an earlier version has none."""
    if CHECKSUM in value and value[CHECKSUM] != _checksum(value):
        raise ValueError("its content is not the one that was written")


def _checksum(value: JsonObject) -> int:
    content = {key: each for key, each in value.items() if key != CHECKSUM}
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())
