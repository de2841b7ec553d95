"""The part of a spec about mixing: how many samples of each task an epoch draws."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mftkit.spec.problems import Problem, one_of, refuse_one
from mftkit.spec.section import Section
from mftkit.spec.tasks import TaskSpec

Part = Annotated[float, Field(ge=0)]


class MixingSpec(Section):
    """How many samples of each task an epoch draws, by ``temperature`` or by ``proportions``."""

    temperature: float | None = Field(default=None, gt=0)
    """A task's share of an epoch is proportional to its size to the power of 1 / temperature: 1 keeps the sizes, larger
    values make the tasks more equal."""
    proportions: dict[str, Part] | None = None
    """Shares of all tasks by name; only their ratios matter. A task with 0 is not trained."""
    by: Literal["samples", "tokens"] = "samples"
    """Unit of shares and sizes: samples or loss tokens."""
    epoch_samples: int | None = Field(default=None, ge=1)
    """Samples per epoch; null: as many as the tasks have together."""

    @model_validator(mode="after")
    def _one_way(self) -> "MixingSpec":
        if (self.temperature is None) == (self.proportions is None):
            both = "has both" if self.proportions is not None else "has neither"
            refuse_one(f'needs either "temperature" or "proportions", but {both}', None, shows_given=False)
        return self


def mixing_problems(mixing: MixingSpec, tasks: list[TaskSpec]) -> list[Problem]:
    """Return what does not fit the tasks of the spec."""
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
            what = f"must name every task; missing: {', '.join(missing)}"
            problems.append(Problem(at, what, shows_given=False, hint="; 0 excludes a task from training"))
        drawn = sum(part > 0 for part in given.values())
        if not drawn:
            problems.append(Problem(at, "are all 0, so nothing would be trained", shows_given=False))
    if mixing.epoch_samples is not None and mixing.epoch_samples < drawn:
        what = f"should be at least {drawn}, one sample per trained task"
        problems.append(Problem(("epoch_samples",), what, mixing.epoch_samples))
    return problems
