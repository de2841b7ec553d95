"""Copies of a run's state in the host's memory, which a thread can write while the run trains on."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor


class HostCopies:
    """Makes one set of copies at a time, each in the memory that it had in the set before.

    The memory is kept between checkpoints: to get it again for each one takes several times as long as to copy, and
    memory from which a GPU can be read at full speed (pinned) takes even longer.
    """

    def __init__(self) -> None:
        self._before: dict[str, Tensor] = {}
        self._now: dict[str, Tensor] = {}

    def begin(self) -> None:
        """Begin a set; the copies of the set before must not be in use any more."""
        self._before, self._now = self._now, {}

    def end(self) -> None:
        """Free what the set before had, and this one has not."""
        self._before.clear()

    def tensor(self, name: str, tensor: Tensor) -> Tensor:
        """A copy of a tensor, contiguous; ``name`` is unique in its set."""
        held = self._before.pop(name, None)
        if held is None or held.shape != tensor.shape or held.dtype != tensor.dtype:
            held = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)
        self._now[name] = held
        return held.copy_(tensor.detach())

    def nested(self, name: str, value: Any) -> Any:
        """A copy of nested dicts and lists of tensors and plain values."""
        if isinstance(value, torch.Tensor):
            return self.tensor(name, value)
        if isinstance(value, dict):
            return {key: self.nested(f"{name}.{key}", each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self.nested(f"{name}.{i}", each) for i, each in enumerate(value))
        return copy.deepcopy(value)
