"""Files of a checkpoint, read from the disk once: what is loaded is verified in the same pass."""

from __future__ import annotations

import io
import os
import zlib
from typing import TYPE_CHECKING, Any, cast

import torch

from mftkit.base.reasons import reason
from mftkit.models.safetensors_layout import tensors_in

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Self

    from torch import Tensor

BLOCK = 1 << 22
TAIL = 1 << 22
"""Bytes at the end of a file of torch.save that are read first: they say where each tensor is."""
KEPT = 1 << 26
"""Largest part in bytes that a reader may skip and then read from memory."""


class CheckpointError(Exception):
    """A checkpoint that is incomplete or damaged."""


def read_tensors(path: Path, expected: Sequence[int]) -> dict[str, Tensor]:
    """The tensors of a safetensors file: views of one buffer, so they are in memory once.

    Args:
        path: of the file.
        expected: its size and CRC-32.

    Raises:
        CheckpointError: it is missing, cut short or altered.
    """
    try:
        with path.open("rb", buffering=0) as file:
            size = _checked_size(path, file.fileno(), expected)
            content = torch.empty(size, dtype=torch.uint8)
            view, crc, read = memoryview(cast("Any", content.numpy())), 0, 0
            while read < size:
                count = file.readinto(view[read : read + BLOCK])
                crc, read = zlib.crc32(view[read : read + count], crc), read + count
                if not count:
                    break
        _check(path, [read, crc], expected)
        return tensors_in(content)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error


def read_state(path: Path, expected: Sequence[int]) -> dict[str, Any]:
    """What ``torch.load(weights_only=True)`` reads of a file, on the CPU; its tensors are in memory once.

    Args:
        path: of the file.
        expected: its size and CRC-32.

    Raises:
        CheckpointError: it is missing, cut short or altered.
    """
    try:
        with VerifiedFile(path) as file:
            _checked_size(path, file.fileno(), expected)
            state = torch.load(cast("Any", file), weights_only=True, map_location="cpu")
            _check(path, file.fingerprint(), expected)
    except CheckpointError:
        raise
    except Exception as error:  # a damaged file may raise anything, since it is verified at its end
        raise CheckpointError(f"{path} is damaged: {reason(error)}") from error
    return cast("dict[str, Any]", state)


def _checked_size(path: Path, descriptor: int, expected: Sequence[int]) -> int:
    size = os.fstat(descriptor).st_size
    if size != expected[0]:
        raise CheckpointError(f"{path} is damaged")
    return size


def _check(path: Path, found: Sequence[int], expected: Sequence[int]) -> None:
    if list(found) != list(expected):
        raise CheckpointError(f"{path} is damaged")


class VerifiedFile(io.RawIOBase):
    """A file whose checksum is computed while it is read, about in order, so that no byte is read twice.

    What a reader skips is read at once, for the checksum, and kept in memory for when the reader returns. So is the
    end, where files of torch.save say what they have. A reader that returns to what it has read reads again.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("rb", buffering=0)
        self._size = os.fstat(self._file.fileno()).st_size
        self._position = 0
        self._summed, self._crc = 0, 0
        """How much is in the checksum, and the checksum."""
        start = max(0, self._size - TAIL)
        self._kept = [(start, b"")]
        """Parts in memory by their offsets, the end first."""
        self._kept[0] = (start, self._read(start, self._size - start))

    def __enter__(self) -> Self:
        return self

    def fileno(self) -> int:
        """The descriptor of the file."""
        return self._file.fileno()

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """The position of the reader."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the reader; nothing is read."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = start + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer, as far as the file reaches; the number of its bytes."""
        view = memoryview(buffer).cast("B")
        view = view[: max(0, self._size - self._position)]
        filled = 0
        while filled < len(view):
            filled += self._fill(view[filled:], self._position + filled)
        self._position += filled
        return filled

    def fingerprint(self) -> list[int]:
        """Size and CRC-32 of the whole file; reads what no reader has."""
        start, end = self._kept[0]
        self._sum_up_to(start)
        if self._summed == start:
            self._crc, self._summed = zlib.crc32(end, self._crc), self._size
        return [self._size, self._crc]

    def close(self) -> None:
        """Close the file, and free the parts in memory."""
        self._file.close()
        self._kept.clear()
        super().close()

    def _fill(self, view: memoryview, offset: int) -> int:
        """Fill the beginning of a view from ``offset``; the number of bytes, at least 1."""
        for start, content in self._kept:
            if start <= offset < start + len(content):
                part = content[offset - start : offset - start + len(view)]
                view[: len(part)] = part
                return len(part)
        if offset > self._summed:
            self._sum_up_to(offset)
        end = self._kept[0][0] if offset == self._summed else self._summed
        count = self._readinto(view[: end - offset], offset)
        if offset == self._summed:
            self._crc, self._summed = zlib.crc32(view[:count], self._crc), offset + count
        return count

    def _sum_up_to(self, offset: int) -> None:
        """Read what lies before ``offset`` for the checksum, and keep it if it is small."""
        keep = offset - self._summed <= KEPT
        while self._summed < offset:
            start, count = self._summed, offset - self._summed
            content = self._read(start, count if keep else min(count, BLOCK))
            self._crc, self._summed = zlib.crc32(content, self._crc), start + len(content)
            if keep:
                self._kept.append((start, content))

    def _read(self, offset: int, count: int) -> bytes:
        content = bytearray(count)
        view, filled = memoryview(content), 0
        while filled < count:
            filled += self._readinto(view[filled:], offset + filled)
        return bytes(content)

    def _readinto(self, view: memoryview, offset: int) -> int:
        self._file.seek(offset)
        count = self._file.readinto(view)
        if not count:
            raise OSError("it ends early")
        return count
