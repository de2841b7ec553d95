"""Reads a run directory as it is: complete, still being written, or damaged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from mftkit.base.json_files import read_json_object
from mftkit.runs.metrics_file import MetricsFile, describe_damaged
from mftkit_registry import MftError

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.base.json_types import JsonObject
    from mftkit.reporting.lines import EndLine, EvaluationLine, RollbackLine, TrainLine, ValidLine
    from mftkit.reporting.plan import PlanJson
    from mftkit.runs.metrics_file import Metrics


@dataclass(frozen=True)
class RunRecord:
    """The files of one run directory, for a report."""

    path: Path
    spec: JsonObject
    environment: JsonObject
    plan: PlanJson
    """As the run reported it at its start; empty for a run of a version that did not keep it."""
    train: list[TrainLine]
    valid: list[ValidLine]
    end: EndLine | None
    """The last line of a run that has ended."""
    faults: list[str] = field(default_factory=list)
    """Descriptions of what could not be read."""
    evaluations: list[EvaluationLine] = field(default_factory=list)
    rollbacks: list[RollbackLine] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The run's name, or else its directory's."""
        return str(self.spec.get("name") or self.path.name)

    @property
    def tasks(self) -> list[str]:
        """Names in the spec's order; those of the metrics where there is no spec."""
        in_spec = [str(task["name"]) for task in self.spec.get("tasks", ()) if isinstance(task, dict)]
        in_metrics = [name for lines in (self.train, self.valid) for line in lines for name in line.tasks]
        return list(dict.fromkeys(in_spec or in_metrics))

    @property
    def state(self) -> str:
        """The reason for its end, or "not ended"."""
        return "not ended" if self.end is None else self.end.reason

    @property
    def is_complete(self) -> bool:
        """True if the run reached its end, and so has a result."""
        return self.end is not None and self.end.is_complete

    @property
    def last_step(self) -> int:
        """The last step in the metrics."""
        steps = [line.step for lines in (self.train, self.valid) for line in lines[-1:]]
        return max([*steps, self.end.step if self.end else 0])


def read_run(path: Path) -> RunRecord:
    """The run in a directory. Raises MftError where there is none."""
    if not path.is_dir():
        problem = "not a directory" if path.exists() else "no such directory"
        raise MftError(f"{path}: {problem}; give the directory of a run.")
    if not any((path / name).is_file() for name in ("metrics.jsonl", "spec.json")):
        raise MftError(f"{path}: holds no run: it has neither metrics.jsonl nor spec.json.")
    file = path / "metrics.jsonl"
    metrics = MetricsFile(file).read()
    faults = _line_faults(metrics, file)
    return RunRecord(
        path=path,
        spec=_object(path / "spec.json", faults),
        environment=_object(path / "environment.json", faults),
        plan=cast("PlanJson", _object(path / "plan.json", faults)),
        train=metrics.train,
        valid=metrics.valid,
        end=metrics.end,
        evaluations=metrics.evaluations,
        rollbacks=metrics.rollbacks,
        faults=faults,
    )


def _object(path: Path, faults: list[str]) -> JsonObject:
    if not path.is_file():
        return {}
    try:
        return read_json_object(path)
    except (OSError, ValueError) as error:
        faults.append(f"{path.name} cannot be read: {error}")
        return {}


def _line_faults(metrics: Metrics, path: Path) -> list[str]:
    """Descriptions of what is missing in metrics.jsonl."""
    if not path.is_file():
        return ["metrics.jsonl does not exist: the run has not reported any numbers yet"]
    faults = []
    if metrics.is_cut_off:
        faults.append(
            "the last line of metrics.jsonl is cut off and was left out: it is or was being written"
        )
    if metrics.damaged:
        faults.append(describe_damaged(metrics.damaged))
    return faults
