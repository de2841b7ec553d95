"""What balancers that learn have in common: a memory of tensors, all of it in the checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

import mftkit

if TYPE_CHECKING:
    from torch import Tensor


class StatefulBalancer(mftkit.Balancer):
    """Keeps all that it learns in ``memory``: real tensors by name, where the losses are.

    Nothing is read back from the device, so no step waits for it.
    """

    def __init__(self, options: Any, tasks: tuple[mftkit.TaskInfo, ...] = ()) -> None:
        super().__init__(options, tasks)
        self.memory: dict[str, Tensor] = {}

    def full(self, value: float) -> Tensor:
        """[tasks] float64 of one value."""
        return torch.full((len(self.tasks),), value, dtype=torch.float64)

    def meet(self, losses: Tensor) -> None:
        """Move the memory to the device and dtype of the losses [tasks]: once, at the first of them."""
        if any(held.device != losses.device or held.dtype != losses.dtype for held in self.memory.values()):
            self.memory = {name: held.to(losses) for name, held in self.memory.items()}

    def state_dict(self) -> dict[str, Any]:
        """The whole memory."""
        return dict(self.memory)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self.memory = dict(state)
