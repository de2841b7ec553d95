"""The parts of a spec about evaluation: what a model is asked, and how often."""

from typing import Annotated

from pydantic import Field, ValidationInfo, field_serializer, field_validator

from mftkit.base.json_types import JsonObject
from mftkit.interfaces.references import ComponentRef
from mftkit.plugins import kinds
from mftkit.spec.intervals import Every
from mftkit.spec.names import Name
from mftkit.spec.on_resuming import OnResuming
from mftkit.spec.problems import Problem, refuse, refuse_one
from mftkit.spec.references import Place, unnamed, without_defaults
from mftkit.spec.row_sources import Columns, Train
from mftkit.spec.section import Section


class EvaluateSpec(Section):
    """What a model is evaluated on, and how its answers are generated."""

    evaluators: list[Annotated[ComponentRef, Place(kinds.EVALUATOR)]] = Field(min_length=1)
    """The evaluators: each measures the same rows."""
    data: Train = None
    """Rows to evaluate on: paths, glob patterns, directories or data sets on the hub; null: the task's validation
    rows."""
    limit: int | None = Field(default=None, ge=1)
    """Number of rows that are evaluated, the first ones; null: all."""
    samples: int = Field(default=1, ge=1)
    """Answers that are generated for each row."""
    temperature: float = Field(default=0.0, ge=0)
    """Sampling temperature; 0: the likeliest token is taken, and all answers to a row are the same."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Only the likeliest tokens that have this probability together are sampled."""
    max_new_tokens: int = Field(default=512, ge=1)
    """Maximum number of tokens in an answer."""

    @field_validator("evaluators")
    @classmethod
    def _each_once(cls, evaluators: list[ComponentRef]) -> list[ComponentRef]:
        names = [evaluator.name for evaluator in evaluators]
        for index, name in enumerate(names):
            if name in names[:index]:
                refuse_one("is named twice", name, at=(index, "name"))
        return evaluators

    @field_validator("temperature")
    @classmethod
    def _samples_differ(cls, temperature: float, info: ValidationInfo) -> float:
        samples = info.data.get("samples", 1)
        if samples > 1 and temperature == 0:
            refuse_one(
                "should be above 0, because several samples per row would all be the same", temperature
            )
        return temperature


class EvaluatedTask(EvaluateSpec):
    """A task that is evaluated and not trained, such as an unseen one."""

    name: Name
    """Unique name of the task, which no trained task has."""
    format: Annotated[ComponentRef, Place(kinds.TASK_FORMAT)] = Field(default_factory=unnamed)
    """How rows are read, as in ``tasks[].format``."""
    columns: Columns = Field(default_factory=dict)
    """Columns of ``data`` that have another name than the key by which they are read, as in ``tasks[].columns``."""

    @field_serializer("format")
    def _short_format(self, task_format: ComponentRef) -> JsonObject | str:
        return without_defaults(kinds.TASK_FORMAT, task_format)

    @field_validator("data")
    @classmethod
    def _has_data(cls, data: Train) -> Train:
        if data is None:
            refuse(
                [
                    Problem(
                        (),
                        "is required: a task that is not trained has no validation rows",
                        shows_given=False,
                    )
                ]
            )
        return data


class EvaluationSpec(Section):
    """When the tasks' ``evaluate`` sections are evaluated in a run, and tasks that are evaluated alone."""

    every: Annotated[Every | None, OnResuming("free")] = None
    """Optimizer steps between two evaluations, or "epoch"; null: before the first step and at the end of the run."""
    batch_size: Annotated[int, OnResuming("free")] = Field(default=8, ge=1)
    """Answers that are generated together; more are faster and take more memory."""
    tasks: Annotated[list[EvaluatedTask], OnResuming("free")] = Field(default_factory=list)
    """Tasks that are evaluated and not trained: unseen ones, or abilities that must not be forgotten."""
