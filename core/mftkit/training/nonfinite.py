"""Notices numbers that are not finite, without making the device wait in every step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from mftkit.interfaces.tokenization import Batch


class NonFiniteLossError(Exception):
    """A loss or gradient that is not finite; the weights are those from before the step."""

    def __init__(self, step: int, tasks: list[int], samples: list[int], *, validation: bool = False) -> None:
        super().__init__(f"step {step}")
        self.validation = validation
        self.step = step
        self.tasks = tasks
        """Tasks whose samples gave it; empty where every token's log-probability was finite."""
        self.samples = samples


class NonFiniteGuard:
    """Keeps, on the device, what each step since the last look gave; ``look`` reads it.

    The optimizer is told by a flag on the device to leave out an update of which a gradient is not
    finite, so that however late the look comes, the weights are still good.
    """

    def __init__(self) -> None:
        self._passes: list[tuple[int, tuple[int, ...], Tensor, Tensor]] = []
        self._steps: list[tuple[int, Tensor, Tensor]] = []

    def __len__(self) -> int:
        """Steps since the last look."""
        return len(self._steps)

    def add_pass(self, step: int, logprobs: Tensor, batch: Batch) -> None:
        """One forward pass: which of its samples have a log-probability that is not finite."""
        bad = torch.zeros(len(batch.sample_task), dtype=torch.int32, device=logprobs.device)
        bad.index_add_(0, batch.sample, (~torch.isfinite(logprobs.detach())).int())
        self._passes.append((step, batch.sample_index, batch.sample_task, bad))

    def add_step(self, step: int, objective: Tensor, task_losses: Tensor, grad_norm: Tensor) -> Tensor:
        """One step; returns a scalar float32, 1 where the update must be left out.

        ``task_losses`` [tasks] has NaN for absent tasks: only infinities there tell of a fault by themselves.
        """
        good = torch.isfinite(objective.detach()) & torch.isfinite(grad_norm.detach())
        self._steps.append((step, good, task_losses.detach()))
        return (~good).float()

    def look(self, present: Callable[[int], Tensor]) -> None:
        """Wait for the device; ``present(step)`` gives the tasks [tasks] bool present in a step.

        Raises:
            NonFiniteLossError: for the first step that was not finite, with its tasks and samples.
        """
        if self._steps and not bool(torch.stack([good for _, good, _ in self._steps]).all()):
            step, _, losses = next(entry for entry in self._steps if not bool(entry[1]))
            tasks = (~torch.isfinite(losses.cpu()) & present(step)).nonzero().flatten().tolist()
            raise self._fault(step, set(tasks))
        self._passes.clear()
        self._steps.clear()

    def _fault(self, step: int, tasks: set[int]) -> NonFiniteLossError:
        samples: list[int] = []
        for number, index, task, bad in self._passes:
            if number == step:
                where = bad.nonzero().flatten().tolist()
                samples += [index[i] for i in where]
                tasks |= {int(task[i]) for i in where}
        return NonFiniteLossError(step, sorted(tasks), samples)
