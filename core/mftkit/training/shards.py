"""Tensors that are divided over processes (torch's DTensor): taken out of a state, and put back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.distributed.tensor import DTensor, distribute_tensor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor


def take_divided(prefix: str, state: Mapping[Any, Any], taken: dict[str, Tensor]) -> dict[Any, Any]:
    """Nested dicts without their divided tensors; ``taken`` gets these, named by their keys after ``prefix``."""
    rest: dict[Any, Any] = {}
    for key, value in state.items():
        if isinstance(value, DTensor):
            taken[f"{prefix}{key}"] = value.detach()
        else:
            rest[key] = take_divided(f"{prefix}{key}.", value, taken) if isinstance(value, dict) else value
    return rest


def own_parts(values: Sequence[object], *, whole: bool) -> list[Tensor]:
    """What this process holds of divided tensors among ``values``, and with ``whole`` the other tensors."""
    tensors = [value for value in values if isinstance(value, torch.Tensor)]
    return [
        each.to_local() if isinstance(each, DTensor) else each
        for each in tensors
        if whole or isinstance(each, DTensor)
    ]


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


def empty_like(described: Tensor, model: Tensor | None) -> Tensor:
    """A tensor to read into, divided and on the device as ``model`` if that has its shape, else whole on the CPU.

    ``described`` has its shape and dtype.
    """
    if model is None or model.shape != described.shape:
        return torch.empty_like(described, device="cpu")
    return torch.empty_like(model.detach(), dtype=described.dtype)
