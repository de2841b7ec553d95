"""The part of a spec about mixing: how much of each task an epoch holds."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mftkit.spec.problems import Problem, one_of, refuse_one
from mftkit.spec.section import Section
from mftkit.spec.tasks import TaskSpec

Part = Annotated[float, Field(ge=0)]


class MixingSpec(Section):
    """How much of each task an epoch holds, by ``temperature`` or by ``proportions``."""

    temperature: float | None = Field(default=None, gt=0)
    """A task's part of an epoch is in proportion to its size to the power of 1 / temperature: 1 as it is, more
    the more even."""
    proportions: dict[str, Part] | None = None
    """The tasks' parts of an epoch, by name, every task named; only their ratios count. 0: not trained."""
    by: Literal["samples", "tokens"] = "samples"
    """What parts and sizes are of: samples, or counting tokens."""
    epoch_samples: int | None = Field(default=None, ge=1)
    """Samples that an epoch draws; null: as many as the tasks have together."""

    @model_validator(mode="after")
    def _one_way(self) -> "MixingSpec":
        if (self.temperature is None) == (self.proportions is None):
            both = "has both" if self.proportions is not None else "has neither"
            refuse_one(f'needs either "temperature" or "proportions", and {both}', None, shows_given=False)
        return self


def mixing_problems(mixing: MixingSpec, tasks: list[TaskSpec]) -> list[Problem]:
    """What of it does not fit the tasks of the spec."""
    names = [task.name for task in tasks]
    drawn = len(names)
    problems = []
    if (given := mixing.proportions) is not None:
        at = ("proportions",)
        unknown = [name for name in given if name not in names]
        problems += [
            Problem((*at, n), "is not a task of this spec", n, hint=one_of(names, n)) for n in unknown
        ]
        if missing := [name for name in names if name not in given]:
            what = f"does not name every task: {', '.join(missing)} left out"
            problems.append(Problem(at, what, shows_given=False, hint="; 0 leaves a task out of training"))
        drawn = sum(part > 0 for part in given.values())
        if not drawn:
            problems.append(Problem(at, "are all 0: nothing would be learned", shows_given=False))
    if mixing.epoch_samples is not None and mixing.epoch_samples < drawn:
        what = f"should be at least {drawn}, one sample for each task that is trained"
        problems.append(Problem(("epoch_samples",), what, mixing.epoch_samples))
    return problems
