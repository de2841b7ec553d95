"""The plan of a run, made before it starts."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, cast

if TYPE_CHECKING:
    from mftkit.base.json_types import JsonObject


@dataclass(frozen=True)
class PlannedTask:
    """One task of the plan."""

    name: str
    samples: int
    """Number of training samples, however many of them an epoch draws."""
    tokens: int
    """Loss tokens per epoch."""
    share: float
    """Share of all loss tokens, 0..1."""
    valid_samples: int
    truncated: int
    dropped: int
    skipped: int
    drawn: int | None = None
    """Number of samples that an epoch draws, with repetitions; None: each sample once."""


@dataclass(frozen=True)
class FirstSample:
    """The first training sample of a task, in brief."""

    task: str
    place: str
    """``PATH:LINE``."""
    tokens: int
    loss_tokens: int
    before: str
    """What stands before the first token in the loss; of a long text its end, after an ellipsis."""
    answer: str
    """The first stretch of tokens in the loss, without its last token; of a long text its beginning and an ellipsis."""
    stop: str
    """The last token of that stretch."""


@dataclass(frozen=True)
class Plan:
    """The plan of a run."""

    name: str
    output: Path
    tasks: tuple[PlannedTask, ...]
    rows: int
    """Number of rows in the first epoch."""
    fill: float
    """Share of the ``rows * max_length`` positions that hold tokens, 0..1."""
    max_length: int
    steps: int
    steps_per_epoch: int
    batch_size: int
    parameters: int
    trainable: int
    device: str
    processes: int
    dtype: str
    components: dict[str, str]
    """Kind to "name (distribution version)"."""
    notes: tuple[str, ...]
    mixing: str = ""
    """A description of the mixing; empty if an epoch has every sample once."""
    first_samples: tuple[FirstSample, ...] = ()
    """One of each task."""
    learning_rate: float | None = None
    """The peak learning rate."""
    learning_rate_note: str = ""
    """Where it comes from, if it is a default."""
    memory: str = ""
    """What weights, gradients and optimizer take of the device's memory; empty if that was not computed."""

    def dump(self) -> PlanJson:
        """The plan as plan.json has it."""
        return cast("PlanJson", {**asdict(self), "output": str(self.output)})

    @classmethod
    def from_json(cls, plan: JsonObject) -> Plan:
        """Read a plan.json; keys of later versions are ignored. Raises KeyError or TypeError if it is damaged."""
        values = known_fields(cls, plan)
        values["output"] = Path(plan["output"])
        values["tasks"] = tuple(PlannedTask(**known_fields(PlannedTask, task)) for task in plan["tasks"])
        values["first_samples"] = tuple(
            FirstSample(**known_fields(FirstSample, sample)) for sample in plan.get("first_samples", ())
        )
        return cls(**{**values, "notes": tuple(plan.get("notes", ()))})


def known_fields(cls: type, values: JsonObject) -> JsonObject:
    """The values that a dataclass has fields for."""
    names = {each.name for each in fields(cls)}
    return {name: value for name, value in values.items() if name in names}


class PlanJson(TypedDict, total=False):
    """plan.json, as a run of this version writes it; one of another version may lack keys, or have more."""

    name: str
    output: str
    tasks: list[dict[str, str | float | None]]
    rows: int
    fill: float
    max_length: int
    steps: int
    steps_per_epoch: int
    batch_size: int
    parameters: int
    trainable: int
    device: str
    processes: int
    dtype: str
    components: dict[str, str]
    notes: list[str]
    mixing: str
    first_samples: list[dict[str, str | int]]
    learning_rate: float
    learning_rate_note: str
    memory: str
