"""Files of weights, read and written one tensor at a time."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open

from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from torch import Tensor


class WeightFiles:
    """The tensors of a model's directory by name, read when they are asked for. A context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stack = ExitStack()
        self._files: dict[str, Any] = {}

    def __enter__(self) -> WeightFiles:
        """Open the files. Raises MftError if there are none."""
        for file in sorted(self.path.glob("*.safetensors")):
            opened = self._stack.enter_context(safe_open(file, "pt"))
            self._files.update(dict.fromkeys(opened.keys(), opened))
        if not self._files:
            raise MftError(f"{self.path} has no safetensors files, so it cannot be merged")
        return self

    def __exit__(self, *_: object) -> None:
        """Close the files."""
        self._stack.close()

    @property
    def names(self) -> list[str]:
        """The names of all tensors."""
        return sorted(self._files)

    def check_like(self, other: WeightFiles) -> None:
        """Raise MftError if these are not tensors of the same names and shapes as another model's."""
        if different := sorted(self._files.keys() ^ other._files.keys()):
            raise MftError(
                f"{self.path} and {other.path} have different tensors ({different[0]}), so they cannot be merged"
            )
        for name in self.names:
            own, given = (each._files[name].get_slice(name).get_shape() for each in (self, other))
            if own != given:
                raise MftError(
                    f"{self.path} and {other.path}: {name} has different shapes, {own} and {given}, so they cannot be "
                    "merged"
                )

    def tensor(self, name: str) -> Tensor:
        """A tensor in its own dtype."""
        found: Tensor = self._files[name].get_tensor(name)
        return found


def write_like(pattern: Path, target: Path, tensor: Callable[[str], Tensor]) -> None:
    """Write a safetensors file with names, dtypes, shapes and order of another one, a tensor at a time.

    The format is 8 bytes with the length of a header, the header as JSON, and the tensors' bytes.

    Args:
        pattern: the other file.
        target: the file to write.
        tensor: makes the tensor of a name, in any dtype and in the shape that it has in ``pattern``.
    """
    with pattern.open("rb") as file:
        size = file.read(8)
        header = file.read(int.from_bytes(size, "little"))
    entries = json.loads(header)
    entries.pop("__metadata__", None)
    with safe_open(pattern, "pt") as own, target.open("wb") as file:
        file.write(size + header)
        for name in sorted(entries, key=lambda each: entries[each]["data_offsets"]):
            made = tensor(name)
            file.write(_bytes(made.to(own.get_tensor(name).dtype)))


def _bytes(tensor: Tensor) -> memoryview:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data
