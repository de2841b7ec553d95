"""Activations that wait in host memory for the backward pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import torch
    from torch import Tensor

LEAST = 2**18
"""Bytes below which a tensor stays where it is: many small copies would take more time than their memory is worth."""


def offloaded_activations(least: int = LEAST) -> AbstractContextManager[None]:
    """Within it, what autograd saves moves to host memory, and back when the backward pass needs it.

    Parameters stay where they are, and so do tensors of fewer than ``least`` bytes.
    """
    from torch.autograd.graph import saved_tensors_hooks

    return saved_tensors_hooks(lambda tensor: _pack(tensor, least), _unpack)


def _pack(tensor: Tensor, least: int) -> tuple[Tensor, torch.device]:
    import torch

    of_parameter = isinstance(tensor, torch.nn.Parameter) or isinstance(tensor._base, torch.nn.Parameter)
    if of_parameter or tensor.numel() * tensor.element_size() < least:
        return tensor, tensor.device
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.device.type == "cuda")
    # The copy is ordered on the device's stream, before anything that could use the memory again.
    host.copy_(tensor, non_blocking=True)
    return host, tensor.device


def _unpack(packed: tuple[Tensor, torch.device]) -> Tensor:
    tensor, device = packed
    return tensor.to(device, non_blocking=True)
