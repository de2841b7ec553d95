"""The lines of metrics.jsonl: what a run measured, as the program passes it on and as the file has it.

A number that is not finite stands in the file as null, and is read back as None. Keys that are not known here are
ignored, so that the files of later versions can be read; keys that older versions did not write have a default.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from mftkit.reporting.outcome import COMPLETED, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mftkit.base.json_types import JsonObject


class DamagedLineError(ValueError):
    """A line that lacks what its event needs."""


@dataclass(frozen=True)
class TaskTraining:
    """One task in a train line."""

    loss: float | None
    """Exact mean over the loss tokens since the last train line, in nats per token; None without such tokens."""
    weight: float | None
    tokens: int
    """Loss tokens since the last train line."""
    samples: int


@dataclass(frozen=True)
class TrainLine:
    """A "train" line: the optimizer steps since the last one."""

    step: int
    epoch: float | None
    """Epochs done, with the part of the current one."""
    loss: float | None
    """Mean of the steps' objective."""
    tasks: dict[str, TaskTraining]
    learning_rate: float | None = None
    grad_norm: float | None = None
    """Before clipping."""
    tokens_per_second: float | None = None
    padding: float | None = None
    """Share of the batches' positions that hold padding, 0..1."""
    auxiliary_loss: float | None = None
    """The model's own loss, such as a router's; None where it has none."""
    balancer: dict[str, float | None] = field(default_factory=dict)
    """The balancer's own metrics after the step, by name; empty where it has none."""
    shares: dict[str, float | None] = field(default_factory=dict)
    """Each task's share of the samples as the mixer decided it, 0..1; empty where the shares do not change."""
    compiled: int | None = None
    """Graphs that were compiled since the process started; None without ``training.compile``."""
    time: str | None = None
    """When the line was written, in ISO 8601 with the offset of UTC."""
    seconds: float | None = None
    """Training time of the line's steps, without validations and checkpoints."""
    peak_memory_bytes: int | None = None
    """The most memory in use since the process started: of the GPU if there is one, else of the process."""

    def to_json(self) -> JsonObject:
        """The line as metrics.jsonl has it."""
        return _without_absent({"event": "train", **asdict(self)})

    @classmethod
    def from_json(cls, line: Mapping[str, object]) -> TrainLine:
        """Read a line. Raises DamagedLineError where something is missing that it needs."""
        return cls(
            step=_step(line),
            epoch=_number(line.get("epoch")),
            loss=_loss(line),
            tasks={
                name: TaskTraining(
                    loss=_number(task["loss"]),
                    weight=_number(task["weight"]),
                    tokens=_count(task["tokens"]),
                    samples=_count(task["samples"]),
                )
                for name, task in _tasks(line, ("loss", "weight", "tokens", "samples")).items()
            },
            learning_rate=_number(line.get("learning_rate")),
            grad_norm=_number(line.get("grad_norm")),
            tokens_per_second=_number(line.get("tokens_per_second")),
            padding=_number(line.get("padding")),
            auxiliary_loss=_number(line.get("auxiliary_loss")),
            balancer=_numbers(line.get("balancer")),
            shares=_numbers(line.get("shares")),
            compiled=_whole(line.get("compiled")),
            time=_text(line.get("time")),
            seconds=_number(line.get("seconds")),
            peak_memory_bytes=_whole(line.get("peak_memory_bytes")),
        )


@dataclass(frozen=True)
class TaskValidation:
    """One task in a valid line."""

    loss: float | None
    """Mean over the task's validation tokens, in nats per token."""
    tokens: int = 0


@dataclass(frozen=True)
class ValidLine:
    """A "valid" line: one validation."""

    step: int
    loss: float | None
    """Mean over tasks."""
    tasks: dict[str, TaskValidation]
    time: str | None = None
    """When the line was written, in ISO 8601 with the offset of UTC."""
    seconds: float | None = None
    """Time of the validation."""
    peak_memory_bytes: int | None = None
    """As in a train line."""

    def to_json(self) -> JsonObject:
        """The line as metrics.jsonl has it."""
        return _without_absent({"event": "valid", **asdict(self)})

    @classmethod
    def from_json(cls, line: Mapping[str, object]) -> ValidLine:
        """Read a line. Raises DamagedLineError where something is missing that it needs."""
        return cls(
            step=_step(line),
            loss=_loss(line),
            tasks={
                name: TaskValidation(_number(task["loss"]), _count(task.get("tokens")))
                for name, task in _tasks(line, ("loss",)).items()
            },
            time=_text(line.get("time")),
            seconds=_number(line.get("seconds")),
            peak_memory_bytes=_whole(line.get("peak_memory_bytes")),
        )


@dataclass(frozen=True)
class MetricPoint:
    """A metric of a task in an evaluation line."""

    value: float | None
    low: float | None = None
    """Bounds of its 95 % confidence interval."""
    high: float | None = None
    rows: int = 0
    higher_is_better: bool = True
    scale: str = "share"
    """"share", "points" or "nats"."""


@dataclass(frozen=True)
class EvaluationLine:
    """An "evaluation" line: what the tasks' evaluators measured."""

    step: int
    tasks: dict[str, dict[str, MetricPoint]]
    """By task and "EVALUATOR/METRIC"."""
    time: str | None = None
    """When the line was written, in ISO 8601 with the offset of UTC."""
    seconds: float | None = None
    """Time of the evaluation."""
    peak_memory_bytes: int | None = None
    """As in a train line."""

    def to_json(self) -> JsonObject:
        """The line as metrics.jsonl has it."""
        return _without_absent({"event": "evaluation", **asdict(self)})

    @classmethod
    def from_json(cls, line: Mapping[str, object]) -> EvaluationLine:
        """Read a line. Raises DamagedLineError where something is missing that it needs."""
        return cls(
            step=_step(line),
            tasks={
                task: {name: _metric(value) for name, value in metrics.items() if isinstance(value, dict)}
                for task, metrics in _tasks(line, ()).items()
            },
            time=_text(line.get("time")),
            seconds=_number(line.get("seconds")),
            peak_memory_bytes=_whole(line.get("peak_memory_bytes")),
        )


def _metric(value: Mapping[str, object]) -> MetricPoint:
    return MetricPoint(
        _number(value.get("value")),
        _number(value.get("low")),
        _number(value.get("high")),
        _count(value.get("rows")),
        value.get("higher_is_better") is not False,
        str(value.get("scale", "share")),
    )


@dataclass(frozen=True)
class RollbackLine:
    """A "rollback" line: a task is dropped, and the run went back to an earlier step.

    The lines before it that are past that step belong to training that was given up.
    """

    step: int
    """The step at which the task was found to overfit."""
    to: int
    """The step from which training continues."""
    task: str
    """The task that is dropped."""
    lost_best_step: int | None = None
    """The task's best step, if its checkpoint is lost and the run went back to another one."""
    time: str | None = None
    """When the line was written, in ISO 8601 with the offset of UTC."""

    def to_json(self) -> JsonObject:
        """The line as metrics.jsonl has it."""
        return _without_absent({"event": "rollback", **asdict(self)})

    @classmethod
    def from_json(cls, line: Mapping[str, object]) -> RollbackLine:
        """Read a line. Raises DamagedLineError where something is missing that it needs."""
        to = line.get("to")
        if not isinstance(to, int):
            raise DamagedLineError("no step to which the run went back")
        return cls(
            step=_step(line),
            to=to,
            task=str(line.get("task")),
            lost_best_step=_whole(line.get("lost_best_step")),
            time=_text(line.get("time")),
        )


@dataclass(frozen=True)
class EndLine:
    """The "end" line: how the run ended."""

    reason: str
    """"finished", "early-stopped", "interrupted" or "failed"."""
    step: int
    best_step: int | None = None
    error: str | None = None
    stopped_by: str | None = None
    """The callback that ended the run, with its reason; None if the run came to its end."""

    @classmethod
    def of(cls, outcome: Outcome) -> EndLine:
        """The line that records an outcome."""
        return cls(outcome.reason, outcome.step, outcome.best_step, outcome.error, outcome.stopped_by)

    @property
    def is_complete(self) -> bool:
        """True if the run reached its end, and so has a result."""
        return self.reason in COMPLETED

    def to_json(self) -> JsonObject:
        """The line as metrics.jsonl has it."""
        line = {"event": "end", **asdict(self)}
        if self.stopped_by is None:
            del line["stopped_by"]
        return line

    @classmethod
    def from_json(cls, line: Mapping[str, object]) -> EndLine:
        """Read a line. Raises DamagedLineError where something is missing that it needs."""
        best_step, error, stopped_by = line.get("best_step"), line.get("error"), line.get("stopped_by")
        return cls(
            reason=str(line.get("reason")),
            step=_step(line),
            best_step=best_step if isinstance(best_step, int) else None,
            error=None if error is None else str(error),
            stopped_by=None if stopped_by is None else str(stopped_by),
        )


Line: TypeAlias = TrainLine | ValidLine | EvaluationLine | RollbackLine | EndLine

_EVENTS: dict[str, type[Line]] = {
    "train": TrainLine,
    "valid": ValidLine,
    "evaluation": EvaluationLine,
    "rollback": RollbackLine,
    "end": EndLine,
}


def line_from_json(line: object) -> Line | None:
    """Read a line of any event; None for an event that only later versions know.

    Raises:
        DamagedLineError: it is no line, or lacks what its event needs.
    """
    if not isinstance(line, dict) or not isinstance(line.get("event"), str):
        raise DamagedLineError("no event")
    kind = _EVENTS.get(line["event"])
    return None if kind is None else kind.from_json(line)


OPTIONAL = (
    "auxiliary_loss", "balancer", "shares", "compiled", "time", "seconds", "peak_memory_bytes", "lost_best_step",
)  # fmt: skip
"""Keys that a line lacks where they have no value: not every model has one, and not every version wrote one."""


def _without_absent(line: JsonObject) -> JsonObject:
    return {key: value for key, value in line.items() if value not in (None, {}) or key not in OPTIONAL}


def _step(line: Mapping[str, object]) -> int:
    step = line.get("step")
    if not isinstance(step, int):
        raise DamagedLineError("no step")
    return step


def _loss(line: Mapping[str, object]) -> float | None:
    if "loss" not in line:
        raise DamagedLineError("no loss")
    return _number(line["loss"])


def _tasks(line: Mapping[str, object], required: tuple[str, ...]) -> dict[str, dict[str, object]]:
    tasks = line.get("tasks")
    if not isinstance(tasks, dict) or not all(
        isinstance(task, dict) and all(key in task for key in required) for task in tasks.values()
    ):
        raise DamagedLineError("no tasks, or one without its numbers")
    return tasks


def _number(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return value if math.isfinite(value) else None


def _numbers(value: object) -> dict[str, float | None]:
    return {str(name): _number(each) for name, each in value.items()} if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0
