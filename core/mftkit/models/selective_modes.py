"""Selective checkpointing of layers that change kept results in place, as when biases of experts are added."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import (
    _CachedTorchDispatchMode,
    _CachingTorchDispatchMode,
    _is_compiling,
    _VersionWrapper,
    create_selective_checkpoint_contexts,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def selective_modes(policy: Callable[..., Any]) -> tuple[Any, Any]:
    """As torch's ``create_selective_checkpoint_contexts``, also where operations change a kept result in place.

    torch refuses the backward pass of such a layer. Here, a kept result is copied just before it changes: the copy
    takes no more memory than the result would, and less time than to compute it again, which for a product with experts
    is most of a layer's. What changes it runs again in the recomputation, on the copy.
    """
    keep, reuse = create_selective_checkpoint_contexts(policy)  # type: ignore[no-untyped-call]
    return _Keep(policy, keep.storage), _Reuse(policy, reuse.storage)


class _Keep(_CachingTorchDispatchMode):
    """Of the forward pass."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operation, and keep its result or copies of what it changes."""
        changed = _changed(func, args, kwargs or {})
        if not changed:
            return super().__torch_dispatch__(func, types, args, kwargs)  # type: ignore[no-untyped-call]
        for entry in self._entries():
            if isinstance(entry.val, torch.Tensor) and _memory(entry.val) in changed:
                entry.val = entry.val.clone()
                entry.version = entry.val._version
        return func(*args, **(kwargs or {}))

    def _entries(self) -> Iterator[_VersionWrapper]:
        for of_operation in self.storage.values():
            numbered = isinstance(of_operation, dict)  # since torch 2.13; a list before
            for entry in tree_leaves(list(of_operation.values() if numbered else of_operation)):
                if isinstance(entry, _VersionWrapper):
                    yield entry


class _Reuse(_CachedTorchDispatchMode):
    """Of the recomputation."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Return the kept result, or run an operation that has none."""
        if _changed(func, args, kwargs or {}):
            return func(*args, **(kwargs or {}))
        return super().__torch_dispatch__(func, types, args, kwargs)  # type: ignore[no-untyped-call]


def _changed(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> set[int]:
    """The memory that an operation changes in place; none while torch.compile traces, see below.

    The traced recomputation takes every result from the forward pass, those of operations in place too, so that it sees
    each tensor after its last change. That is what it was whenever autograd saved it: autograd itself refuses to save a
    tensor that changes afterwards.
    """
    schema = getattr(func, "_schema", None)  # operations of a higher order have none
    if schema is None or not schema.is_mutable or _is_compiling(func, args, kwargs):  # type: ignore[no-untyped-call]
        return set()
    written = (
        args[index] if index < len(args) else kwargs.get(declared.name)
        for index, declared in enumerate(schema.arguments)
        if declared.is_write
    )
    return {_memory(leaf) for leaf in tree_leaves(list(written)) if isinstance(leaf, torch.Tensor)}


def _memory(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
