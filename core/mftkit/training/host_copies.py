"""Copies of a run's state in the host's memory, which a thread can write while the run trains on."""

from __future__ import annotations

import copy
import threading
from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor


class HostCopies:
    """Makes one set of copies at a time, each in the memory that it had in the set before.

    The memory is kept between checkpoints: to get it again for each one takes several times as long as to copy, and
    memory from which a GPU can be read at full speed (pinned) takes even longer. ``reserve`` gets that of the first set
    while the run trains.
    """

    def __init__(self) -> None:
        self._before: dict[str, Tensor] = {}
        self._now: dict[str, Tensor] = {}
        self._reserved: defaultdict[tuple[torch.Size, torch.dtype], list[Tensor]] = defaultdict(list)
        self._reserving: threading.Thread | None = None

    def reserve(self, tensors: Iterable[Tensor]) -> None:
        """Start to get memory for copies of such tensors, in a thread; what is missing later is got then."""
        needed = [(each.shape, each.dtype, each.is_cuda) for each in tensors]
        self._reserving = threading.Thread(
            target=self._reserve, args=(needed,), name="host copies", daemon=True
        )
        self._reserving.start()

    def _reserve(self, needed: list[tuple[torch.Size, torch.dtype, bool]]) -> None:
        with suppress(RuntimeError):  # too little memory: reported where it is needed
            for shape, dtype, pinned in needed:
                # Written to, because the system gives memory only then.
                self._reserved[shape, dtype].append(
                    torch.empty(shape, dtype=dtype, pin_memory=pinned).zero_()
                )

    def begin(self) -> None:
        """Begin a set; the copies of the set before must not be in use any more."""
        if self._reserving is not None:
            self._reserving.join()
            self._reserving = None
        self._before, self._now = self._now, {}

    def end(self) -> None:
        """Free what the set before had, or was reserved, and this one has not."""
        self._before.clear()
        self._reserved.clear()

    def tensor(self, name: str, tensor: Tensor) -> Tensor:
        """A copy of a tensor, contiguous; ``name`` is unique in its set."""
        held = self._before.pop(name, None)
        if held is None or held.shape != tensor.shape or held.dtype != tensor.dtype:
            reserved = self._reserved[tensor.shape, tensor.dtype]
            held = (
                reserved.pop()
                if reserved
                else torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)
            )
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
