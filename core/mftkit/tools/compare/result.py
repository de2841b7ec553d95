"""compare.json: the result of a comparison, with its one writer and its one reader."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, TypeVar

from mftkit.base.atomic_files import write_json
from mftkit.base.json_files import read_json_object
from mftkit.tools.compare.metric_results import MetricDifference, MetricResult
from mftkit.tools.compare.noise import Difference
from mftkit.tools.compare.paired import PairedTest
from mftkit_registry import MftError

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.base.json_types import JsonObject

FILE = "compare.json"
NOT_STARTED = "not started"
T = TypeVar("T")


@dataclass(frozen=True)
class RunResult:
    """One run of a comparison."""

    directory: str
    """Relative to the comparison's directory."""
    seed: int
    task: str | None
    """The only task; None for all of them."""
    state: str
    """The reason for its end, or "not ended", or ``NOT_STARTED``."""
    steps: int
    seconds: float
    sessions: int
    """Number of times that it was started or resumed."""

    def to_json(self) -> JsonObject:
        """The run as compare.json has it."""
        run = asdict(self)
        run["sittings"] = run.pop("sessions")
        return run

    @classmethod
    def from_json(cls, run: JsonObject) -> RunResult:
        """Read a run."""
        return _known(cls, {**run, "sessions": run["sittings"]})


@dataclass(frozen=True)
class ArmResult:
    """One arm; lists are in the order of the seeds, with None for a run that has not reached its end."""

    label: str
    kind: str
    loss: JsonObject
    balancer: JsonObject
    losses: dict[str, list[float | None]]
    """Task to its lowest validation loss after a step, in nats per token; of a merged model, its loss."""
    at_step: dict[str, list[int | None]]
    """Task to the step of that loss."""
    model_losses: dict[str, list[float | None]]
    """Task to its validation loss at the step of the run's model."""
    mean_by_seed: list[float | None]
    mean_loss: float | None
    mean_rank: float | None
    seconds_by_seed: list[float]
    seconds: float | None
    runs: list[RunResult]
    settings: JsonObject = field(default_factory=dict)
    """The keys of the spec that it changes, with their values."""
    steps: int | None = None
    """Planned steps of a run over all tasks; None for single tasks."""
    same_as: str | None = None
    """The earlier arm that trained exactly as this one did, to the last digit of every validation loss."""
    weights_moved: bool | None = None
    """Whether a task weight ever was another than 1; None if the arm's balancer has equal weights by design."""
    metrics: dict[str, dict[str, list[float | None]]] = field(default_factory=dict)
    """Task to "EVALUATOR/METRIC" to its value in the last evaluation, by seed."""
    merge: JsonObject | None = None
    """How the arm's models were merged; None for an arm that was trained."""
    directories: list[str] = field(default_factory=list)
    """Of merged models, by seed, relative to the comparison's directory; a soup has one for all seeds."""

    @property
    def is_complete(self) -> bool:
        """True if every run has reached its end."""
        return all(loss is not None for losses in self.losses.values() for loss in losses)

    def to_json(self) -> JsonObject:
        """The arm as compare.json has it."""
        return {**asdict(self), "runs": [run.to_json() for run in self.runs]}

    @classmethod
    def from_json(cls, arm: JsonObject) -> ArmResult:
        """Read an arm."""
        return _known(cls, {**arm, "runs": [RunResult.from_json(run) for run in arm["runs"]]})


@dataclass(frozen=True)
class TaskBudget:
    """The budget of a model of one task."""

    steps: int
    epochs: float


@dataclass(frozen=True)
class Noise:
    """The differences between arms that are more than the noise of seeds."""

    measured: bool
    level: float
    rule: str
    best: str | None
    """The arm with the lowest mean rank."""
    differences: list[Difference]
    summary: str
    """The verdict in a sentence or two."""

    def to_json(self) -> JsonObject:
        """The section as compare.json has it."""
        return {
            "measured": self.measured,
            "level": self.level,
            "rule": self.rule,
            "best": self.best,
            "differences": [{**asdict(one), "verdict": one.verdict} for one in self.differences],
            "told": self.summary,
        }

    @classmethod
    def from_json(cls, noise: JsonObject) -> Noise:
        """Read the section."""
        differences = [_known(Difference, one) for one in noise["differences"]]
        return _known(cls, {**noise, "differences": differences, "summary": noise["told"]})


@dataclass(frozen=True)
class ComparisonResult:
    """All that is known of a comparison, as far as its runs have come."""

    name: str
    complete: bool
    tasks: list[str]
    seeds: list[int]
    budget: str
    """"epochs" or "steps"."""
    steps: int
    """Optimizer steps of a model of all tasks."""
    single: dict[str, TaskBudget]
    """Task to the budget of its own model."""
    same_start: bool | None
    """Whether all arms of a seed began with the same validation losses; None where that is not known."""
    arms: list[ArmResult]
    noise: Noise
    metrics: list[MetricResult] = field(default_factory=list)
    """Each metric of the last evaluations, with its best arm."""
    paired: list[PairedTest] = field(default_factory=list)
    """Paired tests over the rows of tasks; empty until every run has ended."""

    @property
    def has_failed_run(self) -> bool:
        """True if a run failed."""
        return any(run.state == "failed" for arm in self.arms for run in arm.runs)

    def to_json(self) -> JsonObject:
        """The whole of compare.json."""
        return {
            **asdict(self),
            "arms": [arm.to_json() for arm in self.arms],
            "noise": self.noise.to_json(),
            "metrics": [metric_json(one) for one in self.metrics],
            "paired": [asdict(one) for one in self.paired],
        }

    @classmethod
    def from_json(cls, result: JsonObject) -> ComparisonResult:
        """Read the whole of compare.json."""
        return _known(
            cls,
            {
                **result,
                "single": {task: _known(TaskBudget, budget) for task, budget in result["single"].items()},
                "arms": [ArmResult.from_json(arm) for arm in result["arms"]],
                "noise": Noise.from_json(result["noise"]),
                "metrics": [_metric(one) for one in result.get("metrics", ())],
                "paired": [_known(PairedTest, one) for one in result.get("paired", ())],
            },
        )


def metric_json(metric: MetricResult) -> JsonObject:
    """A metric as compare.json has it."""
    differences = [{**asdict(one), "verdict": one.verdict} for one in metric.differences]
    return {**asdict(metric), "differences": differences}


def _metric(metric: JsonObject) -> MetricResult:
    differences = [_known(MetricDifference, one) for one in metric["differences"]]
    return _known(MetricResult, {**metric, "differences": differences})


def write_result(path: Path, result: ComparisonResult) -> None:
    """Write compare.json into the directory of a comparison."""
    write_json(path / FILE, result.to_json())


def read_result(path: Path) -> ComparisonResult:
    """Read the compare.json of a comparison. Raises MftError where it is damaged."""
    try:
        return ComparisonResult.from_json(read_json_object(path / FILE))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise MftError(
            f"{path / FILE} is damaged ({type(error).__name__}: {error}); run mft compare again."
        ) from error


def _known(cls: type[T], values: JsonObject) -> T:
    """A dataclass of those values that it knows; what a later version adds is ignored."""
    names = {each.name for each in fields(cls)}  # type: ignore[arg-type]
    return cls(**{name: value for name, value in values.items() if name in names})
