"""Options of balancers that evaluate validation samples: how often, and how many."""

from __future__ import annotations

from pydantic import Field

import mftkit

LEAST_INTERVAL = 5


class ValidationOptions(mftkit.Options):
    """How often validation samples are evaluated, and how many: together, the cost."""

    every: int | None = Field(default=None, ge=1)
    """Number of steps between two evaluations of validation samples; null: the number of tasks, but at least 5, so
    that the cost per step does not grow with the number of tasks."""
    samples: int = Field(default=2, ge=1)
    """Number of validation samples per task in each evaluation."""


def interval(options: ValidationOptions, tasks: tuple[mftkit.TaskInfo, ...]) -> int:
    """Return the number of steps between two evaluations; the default costs at most ``samples`` samples per step."""
    return max(LEAST_INTERVAL, len(tasks)) if options.every is None else options.every
