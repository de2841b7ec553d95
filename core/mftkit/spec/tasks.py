"""The tasks of a spec: where each one's rows come from."""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, ValidationInfo, WithJsonSchema, WrapValidator, model_validator

from mftkit.interfaces.references import ComponentRef
from mftkit.plugins import kinds
from mftkit.spec.paths import absolute
from mftkit.spec.problems import Problem, refuse, refuse_one
from mftkit.spec.references import Place
from mftkit.spec.section import Section

LONGEST_NAME = 100
"""Characters: a name becomes part of file names."""


class HubDataset(Section):
    """A data set of the hub."""

    dataset: str = Field(min_length=1)
    """The data set's id on the hub, "organisation/name"."""
    split: str = Field(default="train", min_length=1)
    """Its split."""


def name_for_files(value: Any) -> str:
    """A name that may stand in a path: no separators, control characters, blanks at its ends."""
    if not isinstance(value, str) or not value.strip():
        refuse_one("should be a text that is not blank", value)
    if value in (".", "..") or value != value.strip() or re.search(r"[/\\\x00-\x1f\x7f]", value):
        refuse_one("is used in file names: no / or \\, no control characters, no blanks at its ends", value)
    if len(value) > LONGEST_NAME:
        refuse_one(f"is used in file names: at most {LONGEST_NAME} characters", value)
    return value


def _files(value: list[Any], info: ValidationInfo) -> list[str]:
    if not value:
        refuse_one("names no file", value)
    problems = [Problem((i,), "should be a path or glob", v) for i, v in enumerate(value) if not _is_text(v)]
    if problems:
        refuse(problems)
    return [absolute(path, info) for path in value]


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and "\0" not in value


def _train(value: Any, _plain: Any, info: ValidationInfo) -> list[str] | HubDataset | None:
    if value is None or isinstance(value, HubDataset):
        return value
    if isinstance(value, dict):
        return HubDataset.model_validate(value)
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list | tuple):
        refuse_one('should be a list of paths or globs, or {"dataset": ..., "split": ...}', value)
    return _files(list(value), info)


def _valid(value: Any, _plain: Any, info: ValidationInfo) -> list[str] | float:
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list | tuple):
        if not value:
            refuse_one("names no file", value, hint="; 0 stands for no validation")
        return _files(list(value), info)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        refuse_one("should be a list of paths, or a fraction of at least 0 and under 1", value)
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


def repeated_names(tasks: list[Any]) -> list[Problem]:
    """A problem for each task, as it stands in the file, that has another's name."""
    first: dict[str, int] = {}
    names = [(i, task.get("name")) for i, task in enumerate(tasks) if isinstance(task, dict)]
    return [
        Problem((index, "name"), f"is the name of tasks.{first[name]} too", name)
        for index, name in names
        if isinstance(name, str) and first.setdefault(name, index) != index
    ]


class TaskSpec(Section):
    """One task; its rows come from ``train`` or from ``generator``."""

    name: Name
    """The task's name, unlike every other's; it stands in file names and in metrics.jsonl."""
    format: Literal["chat", "text"] = "chat"
    """"chat": the answers count in the loss; "text": every token does."""
    weight: float = Field(default=1.0, ge=0)
    """The task's weight, without unit, for a balancer that reads it."""
    train: Train = None
    """Training rows: paths or globs, a directory, or a data set of the hub."""
    generator: Annotated[ComponentRef, Place(kinds.DATA_GENERATOR)] | None = None
    """The component that makes the rows, in place of ``train``."""
    filters: list[Annotated[ComponentRef, Place(kinds.DATA_FILTER)]] = Field(default_factory=list)
    """What the training rows pass, in this order, before any is held out for validation."""
    valid: Valid = 0.05
    """Validation rows: paths, or the fraction of the training rows that is held out; 0: none."""

    @model_validator(mode="after")
    def _one_source(self) -> "TaskSpec":
        if (self.train is None) == (self.generator is None):
            both = "has both" if self.train is not None else "has neither"
            refuse_one(f'needs either "train" or "generator", and {both}', self.name, shows_given=False)
        return self

    @property
    def validates(self) -> bool:
        """Whether the task asks for validation rows."""
        return self.valid != 0.0
