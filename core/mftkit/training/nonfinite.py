"""Notices numbers that are not finite without making the host wait for the device in every step."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from mftkit.interfaces.tokenization import Batch

CHECK_EVERY = 50
"""The most steps between two checks on devices where a check makes the host wait."""


class NonFiniteLossError(Exception):
    """A loss or gradient that is not finite. The weights are those from before the step."""

    def __init__(self, step: int, tasks: list[int], samples: list[int], *, validation: bool = False) -> None:
        super().__init__(f"step {step}")
        self.validation = validation
        self.step = step
        self.tasks = tasks
        """Tasks whose samples caused it; empty if the log-probability of every token was finite."""
        self.samples = samples


class _ForwardRecord(NamedTuple):
    step: int
    sample_index: tuple[int, ...]
    sample_task: Tensor
    marks: Tensor
    """[samples]: 0, or NaN for a sample with a log-probability that is not finite."""


class _StepRecord(NamedTuple):
    step: int
    finite: Tensor
    """Scalar bool."""
    task_losses: Tensor


class NonFiniteGuard:
    """Records, on the device, whether each step since the last ``check`` was finite.

    A flag on the device makes the optimizer leave out an update with a gradient that is not finite. So the weights
    are still good, however late the check comes.
    """

    def __init__(self) -> None:
        self._forward_passes: list[_ForwardRecord] = []
        self._steps: list[_StepRecord] = []

    def __len__(self) -> int:
        """Steps since the last check."""
        return len(self._steps)

    def add_micro_batch(self, step: int, logprobs: Tensor, batch: Batch) -> None:
        """Record which samples of one forward pass have a log-probability that is not finite."""
        zeros = logprobs.detach() * 0.0  # NaN where one is not finite
        marks = zeros.new_zeros(len(batch.sample_task)).index_add_(0, batch.sample, zeros)
        self._forward_passes.append(_ForwardRecord(step, batch.sample_index, batch.sample_task, marks))

    def add_step(self, step: int, objective: Tensor, task_losses: Tensor, grad_norm: Tensor) -> Tensor:
        """Record one step; returns a scalar float32, 1 if its update must be left out.

        ``task_losses`` [tasks] has NaN for absent tasks, so it is not part of the decision.
        """
        finite = torch.isfinite(objective.detach()) & torch.isfinite(grad_norm.detach())
        self._steps.append(_StepRecord(step, finite, task_losses.detach()))
        return (~finite).float()

    def check(self, present: Callable[[int], Tensor]) -> None:
        """Wait for the device; ``present(step)`` returns [tasks] bool, the tasks present in a step.

        Raises:
            NonFiniteLossError: for the first step that was not finite, with its tasks and samples.
        """
        if self._steps and not bool(torch.stack([record.finite for record in self._steps]).all()):
            bad = next(record for record in self._steps if not bool(record.finite))
            tasks = (~torch.isfinite(bad.task_losses.cpu()) & present(bad.step)).nonzero().flatten().tolist()
            raise self._error(bad.step, set(tasks))
        self._forward_passes.clear()
        self._steps.clear()

    def _error(self, step: int, tasks: set[int]) -> NonFiniteLossError:
        samples: list[int] = []
        for record in self._forward_passes:
            if record.step == step:
                where = record.marks.isnan().nonzero().flatten().tolist()
                samples += [record.sample_index[i] for i in where]
                tasks |= {int(record.sample_task[i]) for i in where}
        return NonFiniteLossError(step, sorted(tasks), samples)
