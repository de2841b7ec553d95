"""The spec as a whole, and checks across its sections."""

from dataclasses import replace
from typing import Annotated

from pydantic import (
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_serializer,
    field_validator,
    model_validator,
)

from mftkit.base.json_types import JsonObject
from mftkit.interfaces import AUTO
from mftkit.interfaces.references import ComponentRef
from mftkit.plugins import installed, kinds
from mftkit.spec.best_by import best_by_problems
from mftkit.spec.chat import ChatSpec
from mftkit.spec.data import DataSpec
from mftkit.spec.evaluation import EvaluationSpec
from mftkit.spec.local_plugins import PluginFiles
from mftkit.spec.mixing import MixingSpec, mixing_problems
from mftkit.spec.model import ModelSpec
from mftkit.spec.names import Name
from mftkit.spec.on_resuming import OnResuming
from mftkit.spec.paths import FilePath
from mftkit.spec.problems import Problem, one_of, problems_of, refuse, refuse_one
from mftkit.spec.references import Place, TuningRef, unnamed
from mftkit.spec.section import Section
from mftkit.spec.streaming import streaming_problems
from mftkit.spec.tasks import TaskSpec, repeated_names
from mftkit.spec.training import LOSS, EarlyStoppingSpec, TrainingSpec, below_learning_rate


class Spec(Section):
    """Describes a run; every default is filled in, every path is absolute."""

    # A check across sections belongs to the later section and sees the valid ones before it: pydantic still validates
    # the others then, so that all errors are reported at once.

    name: Annotated[Name, OnResuming("free")]
    """Name of the run; by default the spec file's name without its ending."""
    output: Annotated[FilePath, OnResuming("free")]
    """The run directory; by default runs/NAME."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Random seed for data order, dropout, initialization and generators."""
    model: ModelSpec
    """The base model."""
    tuning: Annotated[TuningRef, Place(kinds.TUNING)] = Field(default_factory=unnamed)
    """Which parameters are trained: a method's name, or {"method": NAME, ...} with its options."""
    tasks: list[TaskSpec] = Field(min_length=1)
    """The tasks, in the order of their indices."""
    data: DataSpec = DataSpec()
    """How rows become samples."""
    mixing: MixingSpec | None = None
    """How many samples of each task an epoch draws; null: every sample once."""
    chat: ChatSpec = ChatSpec()
    """How a conversation becomes text."""
    tokenization: Annotated[ComponentRef, Place(kinds.TOKENIZATION_MODE)] = Field(default_factory=unnamed)
    """The tokenization mode: which samples share a packed row."""
    max_length: int = Field(default=2048, ge=2, le=2**31 - 1)
    """Maximum length of a sample, and of a packed row, in tokens."""
    loss: Annotated[ComponentRef, Place(kinds.LOSS)] = Field(default_factory=unnamed)
    """The loss."""
    balancer: Annotated[ComponentRef, Place(kinds.BALANCER)] = Field(default_factory=unnamed)
    """The balancer, which sets the tasks' weights in the loss."""
    gradients: Annotated[ComponentRef, Place(kinds.GRADIENT_COMBINER)] | None = None
    """The combiner of the tasks' gradients; null: their sum, which needs no separate gradient per task."""
    engine: Annotated[ComponentRef, Place(kinds.ENGINE), OnResuming("free")] = ComponentRef(name=AUTO)
    """How several processes train the model; "auto": the first engine with which weights, gradients and optimizer fit
    the devices, and none for a single process."""
    training: TrainingSpec = Field(default_factory=unnamed)
    """Length, batch sizes, learning rate, validation and checkpoints."""
    evaluation: EvaluationSpec = EvaluationSpec()
    """When a run evaluates what its tasks' ``evaluate`` sections name, and tasks that are evaluated alone."""
    trackers: Annotated[list[Annotated[ComponentRef, Place(kinds.TRACKER)]], OnResuming("free")] = Field(
        default_factory=list
    )
    """Trackers that receive metrics in addition to metrics.jsonl."""
    plugins: Annotated[PluginFiles, OnResuming("free")] = Field(default_factory=list)
    """Plugins in no installed package: paths of Python files, or of directories with __init__.py."""
    callbacks: Annotated[list[Annotated[ComponentRef, Place(kinds.CALLBACK)]], OnResuming("free")] = Field(
        default_factory=list
    )
    """Callbacks, which are called as the run proceeds and may end it."""
    schema_address: str | None = Field(default=None, alias="$schema", exclude=True)
    """Address of the JSON Schema of specs, for editors; it has no effect on the run."""

    def dump(self) -> JsonObject:
        """Return the spec as JSON, with all defaults and absolute paths; ``load_spec`` reads it again."""
        return self.model_dump(mode="json")

    @field_serializer("tuning")
    def _flat_tuning(self, tuning: TuningRef) -> JsonObject:
        return tuning.flat()

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: object, info: ValidationInfo) -> object:
        """Fill in name and output directory."""
        if not isinstance(data, dict):
            return data
        stem = (info.context or {}).get("name")
        named = data if "name" in data or stem is None else {"name": stem, **data}
        return {"output": f"runs/{named['name']}", **named} if "name" in named else named

    @field_validator("tasks", mode="wrap")
    @classmethod
    def _distinct(cls, given: object, read: ValidatorFunctionWrapHandler) -> list[TaskSpec]:
        problems = repeated_names(given) if isinstance(given, list) else []
        try:
            tasks: list[TaskSpec] = read(given)
        except ValidationError as error:
            refuse([*problems_of(error, given, TaskSpec), *problems])
        if all(task.weight == 0 for task in tasks):
            problems.append(Problem((), "all have weight 0, so nothing would be trained", shows_given=False))
        if problems:
            refuse(problems)
        return tasks

    @field_validator("mixing")
    @classmethod
    def _fits_the_tasks(cls, mixing: MixingSpec | None, info: ValidationInfo) -> MixingSpec | None:
        if mixing is not None and "tasks" in info.data:
            problems = mixing_problems(mixing, info.data["tasks"])
            if problems:
                refuse(problems)
        return mixing

    @field_validator("balancer")
    @classmethod
    def _weights_are_read(cls, balancer: ComponentRef, info: ValidationInfo) -> ComponentRef:
        """Refuse task weights that the balancer does not read."""
        weighted = [task for task in info.data.get("tasks", []) if task.weight != 1]
        if weighted and not installed.component_class(kinds.BALANCER, balancer.name).reads_task_weights:
            tasks = ", ".join(f"{task.name} {task.weight:g}" for task in weighted)
            what = f"does not read tasks[].weight, which is set ({tasks})"
            readers = installed.those_that(kinds.BALANCER, "reads_task_weights")
            refuse_one(what, balancer.name, hint=f"; {readers}, or remove the weights")
        return balancer

    @field_validator("training")
    @classmethod
    def _fits_the_rest(cls, training: TrainingSpec, info: ValidationInfo) -> TrainingSpec:
        problems = []
        loss = info.data.get("loss")
        if (
            training.task_mean == "dataset"
            and loss
            and not installed.component_class(kinds.LOSS, loss.name).linear
        ):
            what = f'"dataset" requires a loss that is linear in its statistics, and {loss.name} is not'
            problems.append(Problem(("task_mean",), what, "dataset", hint='; allowed: "present", "all"'))
        if (problem := _fixed_counts(training, info.data.get("mixing"))) is not None:
            problems.append(problem)
        if training.early_stopping and training.best_by == LOSS and "tasks" in info.data:
            problems += _early_stopping(training.early_stopping, info.data["tasks"])
        combiner = info.data.get("gradients")
        if combiner and "grouping" in training.model_fields_set and training.grouping != "task":
            what = (
                f'should be "task", because gradients ({combiner.name}) needs forward passes of a single task'
            )
            problems.append(Problem(("grouping",), what, training.grouping, hint="; or leave it out"))
        training, problem = _with_learning_rate(training, info.data.get("tuning"))
        problems += [problem] if problem else []
        if problems:
            refuse(problems)
        return training.model_copy(update={"grouping": "task"}) if combiner else training

    @field_validator("evaluation")
    @classmethod
    def _other_names(cls, evaluation: EvaluationSpec, info: ValidationInfo) -> EvaluationSpec:
        taken = [task.name for task in info.data.get("tasks", [])]
        problems = []
        for index, task in enumerate(evaluation.tasks):
            if task.name in taken:
                problems.append(Problem(("tasks", index, "name"), "is already the name of a task", task.name))
            taken.append(task.name)
        if problems:
            refuse(problems)
        return evaluation

    @model_validator(mode="after")
    def _best_by_a_metric(self) -> "Spec":
        if problems := best_by_problems(self.training, self.tasks, self.evaluation):
            refuse(problems)
        return self

    @model_validator(mode="after")
    def _streamable(self) -> "Spec":
        if self.data.streaming is None:
            return self
        problems = streaming_problems(self.data.streaming, self.tasks, self.mixing, self.training, self.model)
        if problems:
            refuse(problems)
        return self

    @field_validator("callbacks")
    @classmethod
    def _with_different_options(cls, callbacks: list[ComponentRef]) -> list[ComponentRef]:
        for index, callback in enumerate(callbacks):
            if callback in callbacks[:index]:
                refuse_one("is named twice with the same options", callback.name, at=(index, "name"))
        return callbacks

    @field_validator("trackers")
    @classmethod
    def _each_once(cls, trackers: list[ComponentRef]) -> list[ComponentRef]:
        names = [tracker.name for tracker in trackers]
        for index, name in enumerate(names):
            if name in names[:index]:
                refuse_one("is named twice", name, at=(index, "name"))
        return trackers


def _with_learning_rate(
    training: TrainingSpec, tuning: TuningRef | None
) -> tuple[TrainingSpec, Problem | None]:
    """Fill in the tuning's default; return the problem of a minimum above it."""
    if training.learning_rate is not None or tuning is None:
        return training, None
    rate = installed.component_class(kinds.TUNING, tuning.method).default_learning_rate
    above = below_learning_rate(training.min_learning_rate, rate, f" (the default of {tuning.method})")
    problem = None if above is None else replace(above, location=("min_learning_rate",))
    filled = training.model_copy(update={"learning_rate": rate})
    filled.__pydantic_fields_set__.discard("learning_rate")  # so that it is known to be a default
    return filled, problem


def _fixed_counts(training: TrainingSpec, mixing: MixingSpec | None) -> Problem | None:
    """The problem of a mean over the data set whose counts a mixer changes during the run."""
    if training.task_mean != "dataset" or mixing is None or mixing.mixer is None:
        return None
    if not installed.component_class(kinds.MIXER, mixing.mixer.name).changes:
        return None
    what = f'"dataset" requires fixed counts per task, and mixing.mixer ({mixing.mixer.name}) changes them'
    return Problem(("task_mean",), what, "dataset", hint='; allowed: "present", "all"')


def _early_stopping(stopping: EarlyStoppingSpec, tasks: list[TaskSpec]) -> list[Problem]:
    """Check that every watched task has validation rows."""
    at = ("early_stopping", "tasks")
    valid = [task.name for task in tasks if task.validates]
    if not valid:
        return [
            Problem(
                at[:1], "needs validation rows, and no task has any: set tasks[].valid", shows_given=False
            )
        ]
    problems = []
    for index, name in enumerate(stopping.tasks or []):
        if name not in valid:
            known = any(task.name == name for task in tasks)
            what = "has no validation rows" if known else "is not a task of this spec"
            problems.append(Problem((*at, index), what, name, hint=one_of(valid, name)))
    return problems
