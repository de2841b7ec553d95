"""The tasks of a spec: where their rows come from, and what is evaluated."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, field_serializer, model_validator

from mftkit.base.json_types import JsonObject
from mftkit.interfaces.references import ComponentRef
from mftkit.plugins import kinds
from mftkit.spec.evaluation import EvaluateSpec
from mftkit.spec.names import Name
from mftkit.spec.on_resuming import OnResuming
from mftkit.spec.problems import Problem, refuse_one
from mftkit.spec.references import Place, unnamed, without_defaults
from mftkit.spec.row_sources import Columns, GeneratedValidation, Train, Valid
from mftkit.spec.section import Section


def repeated_names(tasks: Sequence[object]) -> list[Problem]:
    """Return a problem for each task, as written in the file, whose name is already taken."""
    first: dict[str, int] = {}
    names = [(i, task.get("name")) for i, task in enumerate(tasks) if isinstance(task, dict)]
    return [
        Problem((index, "name"), f"is already the name of tasks.{first[name]}", name)
        for index, name in names
        if isinstance(name, str) and first.setdefault(name, index) != index
    ]


class TaskSpec(Section):
    """One task; its training rows come from ``train`` or from ``generator``."""

    name: Name
    """Unique name of the task, used in file names and in metrics.jsonl."""
    format: Annotated[ComponentRef, Place(kinds.TASK_FORMAT)] = Field(default_factory=unnamed)
    """How rows become samples: "chat": the answers are in the loss; "text": every token is; or another task format."""
    weight: float = Field(default=1.0, ge=0)
    """Weight of the task, for balancers that read it."""
    train: Annotated[Train, OnResuming("data")] = None
    """Training rows: paths, glob patterns, directories, data sets on the hub, or a list of these."""
    columns: Columns = Field(default_factory=dict)
    """Columns of ``train`` and ``valid`` that have another name than the key by which they are read: column to key."""
    generator: Annotated[ComponentRef, Place(kinds.DATA_GENERATOR)] | None = None
    """The generator that makes the training rows, instead of ``train``."""
    filters: list[Annotated[ComponentRef, Place(kinds.DATA_FILTER)]] = Field(default_factory=list)
    """Filters that are applied to the training rows, in this order, before rows are held out for validation."""
    valid: Annotated[Valid, OnResuming("data")] = 0.05
    """Validation rows: as ``train``, an object that names a ``generator``, or the fraction of the training rows that is
    held out; 0: no validation.
    """

    evaluate: Annotated[EvaluateSpec | None, OnResuming("free")] = None
    """What the model is evaluated on beside the validation loss; null: nothing."""

    @field_serializer("format")
    def _short_format(self, task_format: ComponentRef) -> JsonObject | str:
        """Write a format whose options are all defaults as its name."""
        return without_defaults(kinds.TASK_FORMAT, task_format)

    @model_validator(mode="after")
    def _one_source(self) -> "TaskSpec":
        if (self.train is None) == (self.generator is None):
            both = "has both" if self.train is not None else "has neither"
            refuse_one(f'needs either "train" or "generator", but {both}', self.name, shows_given=False)
        if self.columns and self.generator is not None:
            what = 'renames the columns of "train", and the task has a generator, which names its keys itself'
            refuse_one(what, self.columns, at=("columns",), hint="; leave it out")
        return self

    @property
    def valid_generator(self) -> ComponentRef | None:
        """The generator that makes the validation rows; None: they come from elsewhere."""
        return self.valid.generator if isinstance(self.valid, GeneratedValidation) else None

    @property
    def validates(self) -> bool:
        """Whether the task has validation rows."""
        return self.valid != 0.0
