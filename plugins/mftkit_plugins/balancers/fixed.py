"""The tasks' own weights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import mftkit

if TYPE_CHECKING:
    import torch


class Fixed(mftkit.Balancer):
    """w_i = ``tasks[i].weight``; core divides weights by their mean over all tasks."""

    reads_task_weights: ClassVar[bool] = True

    def __init__(self, options: mftkit.Options, tasks: tuple[mftkit.TaskInfo, ...] = ()) -> None:
        """Raise MftError for weights that are negative, not finite, or all 0."""
        super().__init__(options, tasks)
        for i, task in enumerate(tasks):
            if not (math.isfinite(task.weight) and task.weight >= 0):
                raise mftkit.MftError(
                    f"tasks.{i}.weight: {task.weight} of task {task.name!r} must be finite and not negative."
                )
        if tasks and not any(task.weight for task in tasks):
            raise mftkit.MftError(
                "tasks[].weight: all are 0, so nothing would be trained; raise one, or remove them for equal weights."
            )

    def weights(self) -> torch.Tensor:
        """Return [tasks] float64."""
        import torch

        return torch.tensor([task.weight for task in self.tasks], dtype=torch.float64)
