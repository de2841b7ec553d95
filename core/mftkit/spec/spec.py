"""The spec: what a run is made of."""

from typing import Annotated, Any

from pydantic import (
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_serializer,
    field_validator,
    model_validator,
)

from mftkit.interfaces.references import ComponentRef
from mftkit.plugins import installed, kinds
from mftkit.spec.mixing import MixingSpec, mixing_problems
from mftkit.spec.model import ChatSpec, DataSpec, ModelSpec
from mftkit.spec.paths import FilePath
from mftkit.spec.problems import Problem, one_of, problems_of, refuse, refuse_one
from mftkit.spec.references import Place, TuningRef, unnamed
from mftkit.spec.section import Section
from mftkit.spec.tasks import Name, TaskSpec, repeated_names
from mftkit.spec.training import EarlyStoppingSpec, TrainingSpec


class Spec(Section):
    """What a run is made of; every default is filled in, every path absolute."""

    # A check across sections stands at the later one and sees those before it that are right, so that
    # everything wrong is told at once.

    name: Name
    """The run's name; where left out, the spec file's without its ending."""
    output: FilePath
    """The run directory; where left out, runs/ and the name."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Of everything random."""
    model: ModelSpec
    """The base model."""
    tuning: Annotated[TuningRef, Place(kinds.TUNING)] = Field(default_factory=unnamed)
    """Which parameters are trained: {"method": ..., and its options}."""
    tasks: list[TaskSpec] = Field(min_length=1)
    """The tasks; their order is their index."""
    data: DataSpec = DataSpec()
    """How rows become samples."""
    mixing: MixingSpec | None = None
    """How much of each task an epoch holds; null: every sample once."""
    chat: ChatSpec = ChatSpec()
    """How a conversation becomes text."""
    tokenization: Annotated[ComponentRef, Place(kinds.TOKENIZATION_MODE)] = Field(default_factory=unnamed)
    """Which samples share a row."""
    max_length: int = Field(default=2048, ge=2)
    """Most tokens in a sample, and in a row."""
    loss: Annotated[ComponentRef, Place(kinds.LOSS)] = Field(default_factory=unnamed)
    """The loss."""
    balancer: Annotated[ComponentRef, Place(kinds.BALANCER)] = Field(default_factory=unnamed)
    """What weighs the tasks."""
    gradients: Annotated[ComponentRef, Place(kinds.GRADIENT_COMBINER)] | None = None
    """What makes one gradient of the tasks' own; null: their sum, which needs no gradient of each task."""
    training: TrainingSpec = TrainingSpec()
    """Training."""
    trackers: list[Annotated[ComponentRef, Place(kinds.TRACKER)]] = Field(default_factory=list)
    """Where metrics go besides metrics.jsonl."""

    def dump(self) -> dict[str, Any]:
        """The spec as JSON has it, defaults and absolute paths included; ``load_spec`` reads it again."""
        return self.model_dump(mode="json")

    @field_serializer("tuning")
    def _flat_tuning(self, tuning: TuningRef) -> dict[str, Any]:
        return tuning.flat()

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: Any, info: ValidationInfo) -> Any:
        """Name and output directory, where they are left out."""
        if not isinstance(data, dict):
            return data
        stem = (info.context or {}).get("name")
        named = data if "name" in data or stem is None else {"name": stem, **data}
        return {"output": f"runs/{named['name']}", **named} if "name" in named else named

    @field_validator("tasks", mode="wrap")
    @classmethod
    def _distinct(cls, given: Any, read: ValidatorFunctionWrapHandler) -> list[TaskSpec]:
        problems = repeated_names(given) if isinstance(given, list) else []
        try:
            tasks: list[TaskSpec] = read(given)
        except ValidationError as error:
            refuse([*problems_of(error, given, TaskSpec), *problems])
        if all(task.weight == 0 for task in tasks):
            problems.append(Problem((), "all have weight 0: nothing would be learned", shows_given=False))
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
        """A weight that the balancer does not read is refused."""
        weighted = [task for task in info.data.get("tasks", []) if task.weight != 1]
        if weighted and not installed.component_class(kinds.BALANCER, balancer.name).reads_task_weights:
            tasks = ", ".join(f"{task.name} {task.weight:g}" for task in weighted)
            what = f"does not read tasks[].weight, which is set ({tasks})"
            readers = installed.those_that(kinds.BALANCER, "reads_task_weights")
            refuse_one(what, balancer.name, hint=f"; {readers}, or take the weights out")
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
            what = f'"dataset" is for losses that are linear in their statistics, and {loss.name} is not'
            problems.append(Problem(("task_mean",), what, "dataset", hint='; allowed: "present", "all"'))
        if training.early_stopping and "tasks" in info.data:
            problems += _early_stopping(training.early_stopping, info.data["tasks"])
        combiner = info.data.get("gradients")
        if combiner and "grouping" in training.model_fields_set and training.grouping != "task":
            what = f'should be "task": gradients ({combiner.name}) needs forward passes of one task each'
            problems.append(Problem(("grouping",), what, training.grouping, hint="; or leave it out"))
        if problems:
            refuse(problems)
        return training.model_copy(update={"grouping": "task"}) if combiner else training

    @field_validator("trackers")
    @classmethod
    def _each_once(cls, trackers: list[ComponentRef]) -> list[ComponentRef]:
        names = [tracker.name for tracker in trackers]
        for index, name in enumerate(names):
            if name in names[:index]:
                refuse_one("is named twice", name, at=(index, "name"))
        return trackers


def _early_stopping(stopping: EarlyStoppingSpec, tasks: list[TaskSpec]) -> list[Problem]:
    """Every task that it watches must have validation rows."""
    at = ("early_stopping", "tasks")
    valid = [task.name for task in tasks if task.validates]
    if not valid:
        return [
            Problem(at[:1], "needs validation, and no task has any: set tasks[].valid", shows_given=False)
        ]
    problems = []
    for index, name in enumerate(stopping.tasks or []):
        if name not in valid:
            known = any(task.name == name for task in tasks)
            what = "has no validation rows" if known else "is not a task of this spec"
            problems.append(Problem((*at, index), what, name, hint=one_of(valid, name)))
    return problems
