"""What a run measures between two train lines: sums over steps, and the time they took."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypedDict, cast

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from mftkit.batches.sampler import GlobalBatch
    from mftkit.interfaces.tokenization import Batch


class MeterState(TypedDict):
    """The sums of one process, for a checkpoint between two train lines."""

    nll: Tensor
    objective: Tensor
    positions: int
    real_tokens: int
    tokens: Tensor
    samples: Tensor
    steps: int


class Meter:
    """Sums since the last train line, kept on the device so that a step need not wait for it."""

    def __init__(self, num_tasks: int, device: torch.device, dtype: torch.dtype) -> None:
        self._zeros = torch.zeros(num_tasks, device=device, dtype=dtype)
        self.reset()

    def reset(self) -> None:
        """Start from zero, after a train line."""
        zeros = self._zeros
        # Of this process's micro-batches:
        self.nll = zeros.clone()  # nats
        self.positions = 0  # padding included
        self.real_tokens = 0
        # Of the global batch:
        self.objective = zeros.new_zeros(())
        self.tokens = torch.zeros(len(zeros), dtype=torch.float64)  # on the host
        self.samples = torch.zeros(len(zeros), dtype=torch.float64)
        self.steps = 0

    def add_micro_batch(self, logprobs: Tensor, batch: Batch) -> None:
        """Add one forward pass of this process."""
        self.nll.index_add_(0, batch.task, -logprobs.detach().to(self.nll.dtype))
        self.positions += batch.input_ids.numel()
        self.real_tokens += batch.real_tokens

    def add_step(self, batch: GlobalBatch, objective: Tensor) -> None:
        """Add one optimizer step of the global batch."""
        self.objective += objective.detach()
        self.tokens += torch.from_numpy(batch.tokens)
        self.samples += torch.from_numpy(batch.samples)
        self.steps += 1

    def state_dict(self) -> MeterState:
        """The sums, for a checkpoint between two train lines."""
        sums = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        return cast("MeterState", sums)

    def load_state_dict(self, state: MeterState) -> None:
        """Restore what ``state_dict`` returned."""
        for name, value in state.items():
            if isinstance(value, torch.Tensor):
                setattr(self, name, value.to(getattr(self, name)).clone())
            else:
                setattr(self, name, value)


def add_up(states: Sequence[MeterState], *, is_main: bool) -> MeterState:
    """The sums of one process of another number of processes: the main one has those of all, the others none.

    Sums over the global batch are the same in every process.
    """
    one = states[0]
    factor = 1 if is_main else 0
    return {
        **one,
        "nll": factor * torch.stack([each["nll"] for each in states]).sum(0),
        "positions": factor * sum(each["positions"] for each in states),
        "real_tokens": factor * sum(each["real_tokens"] for each in states),
    }


class StepClock:
    """Seconds spent in training steps, without validations and checkpoints."""

    def __init__(self) -> None:
        self.spent = self._started = 0.0

    def start(self) -> None:
        """A step begins."""
        self._started = time.perf_counter()

    def stop(self) -> None:
        """The step ends."""
        self.spent += time.perf_counter() - self._started

    def take(self) -> float:
        """Seconds since the last call."""
        spent, self.spent = self.spent, 0.0
        return spent
