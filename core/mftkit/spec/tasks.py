"""The tasks of a spec: where their rows come from."""

import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import (
    Field,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
    WrapValidator,
    field_serializer,
    model_validator,
)

from mftkit.base.json_types import JsonObject
from mftkit.interfaces.references import ComponentRef
from mftkit.plugins import kinds
from mftkit.spec.paths import absolute
from mftkit.spec.problems import Problem, refuse, refuse_one
from mftkit.spec.references import Place, unnamed, without_defaults
from mftkit.spec.section import Section

LONGEST_NAME = 100
"""Maximum length of a name in characters: it becomes part of file names."""


class HubDataset(Section):
    """A data set on the hub."""

    dataset: str = Field(min_length=1)
    """Id of the data set, "organization/name", or a directory that the datasets library can load."""
    split: str = Field(default="train", min_length=1)
    """Split of the data set."""


def name_for_files(value: object) -> str:
    """Check a name that is used in paths: no separators, no control characters, no spaces at its ends."""
    if not isinstance(value, str) or not value.strip():
        refuse_one("should be a string that is not blank", value)
    if value in (".", "..") or value != value.strip() or re.search(r"[/\\\x00-\x1f\x7f]", value):
        refuse_one(
            "is used in file names, so it must not contain / or \\ or control characters, or begin or end with a space",
            value,
        )
    if len(value) > LONGEST_NAME:
        refuse_one(f"is used in file names, so it must have at most {LONGEST_NAME} characters", value)
    return value


def _files(value: Sequence[object], info: ValidationInfo) -> list[str]:
    if not value:
        refuse_one("names no file", value)
    problems = [Problem((i,), "should be a path or glob", v) for i, v in enumerate(value) if not _is_text(v)]
    if problems:
        refuse(problems)
    return [absolute(path, info) for path in value]


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and "\0" not in value


def _train(value: object, _plain: object, info: ValidationInfo) -> list[str] | HubDataset | None:
    if value is None or isinstance(value, HubDataset):
        return value
    if isinstance(value, dict):
        return HubDataset.model_validate(value)
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list | tuple):
        refuse_one('should be a list of paths or globs, or {"dataset": ..., "split": ...}', value)
    return _files(list(value), info)


def _valid(value: object, _plain: object, info: ValidationInfo) -> list[str] | float:
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list | tuple):
        if not value:
            refuse_one("names no file", value, hint="; for no validation set 0")
        return _files(list(value), info)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        refuse_one("should be a list of paths, or a fraction that is at least 0 and less than 1", value)
    return float(value)


_PATHS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
_HUB = {
    "type": "object",
    "properties": {"dataset": {"type": "string"}, "split": {"type": "string", "default": "train"}},
    "required": ["dataset"],
    "additionalProperties": False,
}
Name = Annotated[str, PlainValidator(name_for_files), WithJsonSchema({"type": "string", "minLength": 1})]
Train = Annotated[
    list[str] | HubDataset | None,
    WrapValidator(_train),
    WithJsonSchema({"anyOf": [*_PATHS["anyOf"], _HUB, {"type": "null"}]}),
]
Valid = Annotated[
    list[str] | float,
    WrapValidator(_valid),
    WithJsonSchema({"anyOf": [*_PATHS["anyOf"], {"type": "number", "minimum": 0, "exclusiveMaximum": 1}]}),
]


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
    train: Train = None
    """Training rows: paths, glob patterns or directories, or a data set on the hub."""
    generator: Annotated[ComponentRef, Place(kinds.DATA_GENERATOR)] | None = None
    """The generator that makes the training rows, instead of ``train``."""
    filters: list[Annotated[ComponentRef, Place(kinds.DATA_FILTER)]] = Field(default_factory=list)
    """Filters that are applied to the training rows, in this order, before rows are held out for validation."""
    valid: Valid = 0.05
    """Validation rows: paths, or the fraction of the training rows that is held out; 0: no validation."""

    @field_serializer("format")
    def _short_format(self, task_format: ComponentRef) -> JsonObject | str:
        """Write a format without options of its own as its name."""
        return without_defaults(kinds.TASK_FORMAT, task_format)

    @model_validator(mode="after")
    def _one_source(self) -> "TaskSpec":
        if (self.train is None) == (self.generator is None):
            both = "has both" if self.train is not None else "has neither"
            refuse_one(f'needs either "train" or "generator", but {both}', self.name, shows_given=False)
        return self

    @property
    def validates(self) -> bool:
        """Whether the task has validation rows."""
        return self.valid != 0.0
