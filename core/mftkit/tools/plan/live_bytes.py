"""Counts the bytes of all live tensors while operations run: for real tensors, and for fake ones."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Event:
    """Memory that was allocated or, with negative bytes, released."""

    storage: int
    """Number of the storage."""
    bytes: int
    widest: int
    """Last dimension of the tensor that it was allocated for."""
    is_cast: bool = False
    """Whether it is a copy of a tensor that existed before, in another dtype: a weight, under autocast."""


class LiveBytes(TorchDispatchMode):
    """Records every storage that is made under this mode, and when it is released.

    Storages are counted once, whatever number of tensors view them. What existed before is not counted.
    """

    def __init__(self, existing: Iterable[torch.Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.events: list[Event] = []
        self.live = 0
        self.peak = 0
        self._numbers: dict[int, int] = {}
        self._count = 0
        for tensor in existing:
            self._number(tensor)
        self._weights = range(1, self._count + 1)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operation and count what it returned."""
        del types
        out = func(*args, **(kwargs or {}))
        is_cast = func is torch.ops.aten._to_copy.default and (self.number(args[0]) or 0) in self._weights
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                self._add(leaf, is_cast)
        return out

    def number(self, tensor: torch.Tensor) -> int | None:
        """The number of a live tensor's storage; None if it was not made under this mode."""
        return self._numbers.get(tensor.untyped_storage()._cdata)

    def _number(self, tensor: torch.Tensor) -> tuple[int, int] | None:
        """Number and bytes of a storage that is seen for the first time."""
        storage = tensor.untyped_storage()
        if storage._cdata in self._numbers:
            return None
        self._count += 1
        self._numbers[storage._cdata] = self._count
        return self._count, storage.nbytes()

    def _add(self, tensor: torch.Tensor, is_cast: bool) -> None:
        made = self._number(tensor)
        if made is None:
            return
        number, size = made
        storage = tensor.untyped_storage()
        widest = tensor.shape[-1] if tensor.ndim else 1
        self._record(Event(number, size, widest, is_cast))
        weakref.finalize(storage, self._release, storage._cdata, Event(number, -size, widest, is_cast))

    def _release(self, address: int, event: Event) -> None:
        self._numbers.pop(address, None)
        self._record(event)

    def _record(self, event: Event) -> None:
        self.events.append(event)
        self.live += event.bytes
        self.peak = max(self.peak, self.live)
