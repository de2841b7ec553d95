"""Tensors that are divided over processes (torch's DTensor), as whole ones and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.distributed.tensor import DTensor, distribute_tensor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor


def whole(value: Any, *, keep: bool = True) -> Any:
    """A copy of nested dicts and lists with each divided tensor put together, on the CPU.

    Every process must call it. ``keep``: False drops each tensor once it is whole, in processes that do not need it.
    """
    if isinstance(value, DTensor):
        full = value.detach().full_tensor()  # type: ignore[attr-defined]
        return full.cpu() if keep else None
    if isinstance(value, dict):
        return {key: whole(each, keep=keep) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(whole(each, keep=keep) for each in value)
    return value


def divided_like(state: Mapping[str, Tensor], model: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Whole tensors divided as those of the same names in ``model``."""
    return {name: _like(tensor, model.get(name)) for name, tensor in state.items()}


def divided_optimizer_state(state: dict[str, Any], parameters: Sequence[Tensor]) -> dict[str, Any]:
    """An optimizer's state whose tensors are divided as the parameters that they belong to, in the state's order."""
    tensors = {
        index: {
            key: _like(value, parameters[index]) if _is_tensor(value) else value for key, value in of.items()
        }
        for index, of in state["state"].items()
    }
    return {**state, "state": tensors}


def _is_tensor(value: object) -> bool:
    return isinstance(value, torch.Tensor) and value.dim() > 0


def _like(tensor: Tensor, model: Tensor | None) -> Tensor:
    if not isinstance(model, DTensor) or isinstance(tensor, DTensor):
        return tensor
    # Every process has read the whole tensor, so none of it has to be sent.
    return distribute_tensor(tensor.to(model.device), model.device_mesh, model.placements, src_data_rank=None)
