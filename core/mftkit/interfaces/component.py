"""What all components share: options, and the tasks of the run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo

from mftkit.interfaces.deprecation import adopt_old_names


class Options(BaseModel):
    """The options of a component: a frozen Pydantic model that refuses unknown keys.

    >>> class Focal(Options):
    ...     gamma: float = 2.0
    >>> Focal(gamma=1).gamma
    1.0
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=True,
        use_attribute_docstrings=True,
        ser_json_inf_nan="strings",
    )


def _relative_to_spec(path: Path, info: ValidationInfo) -> Path:
    base = (info.context or {}).get("directory")
    try:
        path = path.expanduser()
    except RuntimeError as error:
        raise ValueError(f"no home directory is known for {path}") from error
    return path if base is None else Path(base) / path


SpecPath = Annotated[Path, AfterValidator(_relative_to_spec)]
"""A path in a component's options: relative to the spec file, absolute once the spec is read."""


@dataclass(frozen=True)
class TaskInfo:
    """One task of the run, as a component sees it."""

    name: str
    weight: float = 1.0
    """As given in the spec."""
    samples: int = 0
    """Training samples an epoch."""
    tokens: int = 0
    """Counting tokens of these, after cutting to ``max_length``; where tasks are mixed, on average over epochs."""
    valid_samples: int = 0
    """Samples held out for validation."""


class Component:
    """Base of every component: ``self.options`` and ``self.tasks`` (the order is the tasks' index)."""

    Options: ClassVar[type[BaseModel]] = Options

    def __init_subclass__(cls, **more: object) -> None:
        super().__init_subclass__(**more)
        adopt_old_names(cls)

    def __init__(self, options: Any, tasks: tuple[TaskInfo, ...] = ()) -> None:
        self.options = options
        self.tasks = tasks
