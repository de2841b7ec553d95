"""What a run measures: sums between two train lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from mftkit.batches.sampler import GlobalBatch
    from mftkit.interfaces.tokenization import Batch


class Meter:
    """Sums since the last train line, kept on the device so that a step need not wait for it."""

    def __init__(self, num_tasks: int, device: torch.device, dtype: torch.dtype) -> None:
        self._zeros = torch.zeros(num_tasks, device=device, dtype=dtype)
        self.reset()

    def reset(self) -> None:
        """Begin anew, after a train line."""
        zeros = self._zeros
        self.nll = zeros.clone()  # this process's; nats
        self.objective = zeros.new_zeros(())  # of the global batch
        self.positions = 0  # this process's
        self.real_tokens = 0
        self.tokens = torch.zeros(len(zeros), dtype=torch.float64)  # of the global batch, on the host
        self.samples = torch.zeros(len(zeros), dtype=torch.float64)
        self.steps = 0

    def add_pass(self, logprobs: Tensor, batch: Batch) -> None:
        """One forward pass of this process."""
        self.nll.index_add_(0, batch.task, -logprobs.detach().to(self.nll.dtype))
        self.positions += batch.input_ids.numel()
        self.real_tokens += batch.real_tokens

    def add_step(self, step: GlobalBatch, objective: Tensor) -> None:
        """One optimizer step of the global batch."""
        self.objective += objective.detach()
        self.tokens += torch.from_numpy(step.tokens)
        self.samples += torch.from_numpy(step.samples)
        self.steps += 1

    def state_dict(self) -> dict[str, Any]:
        """The sums, for a checkpoint between two train lines."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        for name, value in state.items():
            place = getattr(self, name)
            setattr(self, name, value.to(place).clone() if isinstance(value, torch.Tensor) else value)
