"""How often a balancer looks at validation samples, and at how many."""

from __future__ import annotations

from pydantic import Field

import mftkit

OFTEN = 5


class ValidationOptions(mftkit.Options):
    """What the looks at validation samples cost."""

    every: int | None = Field(default=None, ge=1)
    """Steps between two looks at validation losses; null: 5, or as many as there are tasks where those are more, so
    that the cost of a step does not grow with the number of tasks."""
    samples: int = Field(default=2, ge=1)
    """Validation samples of each task in such a look."""


def interval(options: ValidationOptions, tasks: tuple[mftkit.TaskInfo, ...]) -> int:
    """Steps between two looks: at the default, a look is at no more than ``samples`` samples a training step."""
    return max(OFTEN, len(tasks)) if options.every is None else options.every
