"""The part of a spec about mixing: how many samples of each task an epoch draws."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mftkit.interfaces.references import ComponentRef
from mftkit.plugins import kinds
from mftkit.spec.problems import Problem, one_of, refuse_one
from mftkit.spec.references import Place
from mftkit.spec.section import Section
from mftkit.spec.tasks import TaskSpec

Part = Annotated[float, Field(ge=0)]
WAYS = ("temperature", "proportions", "mixer")
"""Keys of which a section has one."""


class MixingSpec(Section):
    """How many samples of each task an epoch draws, by ``temperature``, by ``proportions`` or by a ``mixer``.

    The first two are short for the mixers of their names: ``component`` is the mixer in each case.
    """

    temperature: float | None = Field(default=None, gt=0)
    """A task's share of an epoch is proportional to its size to the power of 1 / temperature: 1 keeps the sizes, larger
    values make the tasks more equal."""
    proportions: dict[str, Part] | None = None
    """Shares of all tasks by name; only their ratios matter. A task with 0 is not trained."""
    by: Literal["samples", "tokens"] = "samples"
    """Unit of shares and sizes: samples or loss tokens. A mixer has its own option instead."""
    mixer: Annotated[ComponentRef, Place(kinds.MIXER)] | None = None
    """The mixer, which decides each task's share, and may change it during the run."""
    epoch_samples: int | None = Field(default=None, ge=1)
    """Samples per epoch; null: as many as the tasks have together."""

    @model_validator(mode="after")
    def _one_way(self) -> "MixingSpec":
        ways = [key for key in WAYS if getattr(self, key) is not None]
        if len(ways) != 1:
            has = f"has {' and '.join(ways)}" if ways else "has none of them"
            refuse_one(
                f'needs exactly one of "temperature", "proportions" and "mixer", but {has}',
                None,
                shows_given=False,
            )
        if self.mixer is not None and self.by != "samples":
            refuse_one("has no meaning beside a mixer, which has its own options", self.by, at=("by",))
        return self

    @property
    def component(self) -> ComponentRef:
        """The mixer that this section names."""
        if self.mixer is not None:
            return self.mixer
        way = next(key for key in WAYS if getattr(self, key) is not None)
        return ComponentRef(name=way, options={way: getattr(self, way), "by": self.by})


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
