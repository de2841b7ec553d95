"""Base of balancers that learn: a state of tensors, all of which is in the checkpoint."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, cast

import mftkit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


class StatefulBalancer(mftkit.Balancer):
    """Keeps all that it learns in ``state``: tensors by name, on the device of the losses.

    Nothing is read back from the device, so that no step waits for it.
    """

    @cached_property
    def state(self) -> dict[str, Tensor]:
        """What it has learned; made when it is first read, because a spec is checked without torch."""
        return self.initial_state()

    def initial_state(self) -> dict[str, Tensor]:
        """Return the state before the first step."""
        raise NotImplementedError

    def full(self, value: float) -> Tensor:
        """Return [tasks] float64 of one value."""
        import torch

        return torch.full((len(self.tasks),), value, dtype=torch.float64)

    def move_to(self, losses: Tensor) -> None:
        """Move the state to the device and dtype of the losses [tasks]; this happens once, with the first losses."""
        if any(value.device != losses.device or value.dtype != losses.dtype for value in self.state.values()):
            self.state = {name: value.to(losses) for name, value in self.state.items()}

    def state_dict(self) -> dict[str, object]:
        """Return all tensors of the state."""
        return dict(self.state)

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Restore what ``state_dict`` returned."""
        self.state = cast("dict[str, Tensor]", dict(state))
