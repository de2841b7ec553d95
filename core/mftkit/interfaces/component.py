"""What all components share: options, and the tasks of the run."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Generic

from pydantic import AfterValidator, BaseModel, ConfigDict, GetJsonSchemaHandler, ValidationInfo
from pydantic.json_schema import JsonSchemaValue  # noqa: TC002 - pydantic reads the annotations
from pydantic_core import CoreSchema  # noqa: TC002
from typing_extensions import TypeVar

from mftkit.interfaces.attribute_docs import documented, with_attributes
from mftkit.interfaces.deprecation import adopt_old_names


class Options(BaseModel):
    """The options of a component: a frozen Pydantic model that rejects unknown keys.

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

    __docstring__: ClassVar[str | None] = None
    """The docstring as written; ``__doc__`` has a section with the options, too."""

    @classmethod
    def __pydantic_init_subclass__(cls, **more: object) -> None:
        cls.__docstring__ = vars(cls).get("__doc__")
        cls.__doc__ = with_attributes(cls, cls.__docstring__)

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The schema, described by the docstring alone, as it has the options itself."""
        schema = handler(core)
        own = handler.resolve_ref_schema(schema)
        own.pop("description", None)
        if cls.__docstring__:
            own["description"] = inspect.cleandoc(cls.__docstring__)
        return schema


class InputPath(type(Path())):  # type: ignore[misc]  # the system's own class of paths
    """The value of an option of type ``SpecPath``: core hashes what it names (see ``mftkit.SpecPath``)."""


class InputName(str):
    """A path as text that names input, like an ``InputPath``: an option that is a path or a name elsewhere."""

    __slots__ = ()


def _relative_to_spec(path: Path, info: ValidationInfo) -> Path:
    base = (info.context or {}).get("directory")
    try:
        path = path.expanduser()
    except RuntimeError as error:
        raise ValueError(f"cannot expand {path}: the home directory is unknown") from error
    return path if base is None else Path(base) / path


def _input(path: Path, info: ValidationInfo) -> InputPath:
    return InputPath(_relative_to_spec(path, info))


SpecPath = Annotated[Path, AfterValidator(_input)]
"""A path that a component's options name: relative to the spec file, absolute once the spec is read.

The content of the file, or of all files in the directory, belongs to the identity of the rows and replies that are made
with these options: they are made again once it changes.
"""
SpecLocation = Annotated[Path, AfterValidator(_relative_to_spec)]
"""A path like ``SpecPath`` whose content is no input, such as a place to write to; it is not hashed."""


@documented
@dataclass(frozen=True)
class TaskInfo:
    """One task of the run, as a component sees it."""

    name: str
    weight: float = 1.0
    """The weight in the spec."""
    samples: int = 0
    """Training samples per epoch."""
    tokens: int = 0
    """Their loss tokens, after truncation to ``max_length``; with data mixing, the average over epochs."""
    valid_samples: int = 0
    """Validation samples."""


OptionsT = TypeVar("OptionsT", bound=BaseModel, default=Any)
"""The options of a component; a class that leaves them out has untyped options, or declares ``options: Options``."""
M = TypeVar("M", bound=Callable[..., object])


def required(method: M) -> M:
    """Mark a method of an interface that every component must define; checked when the component is loaded."""
    method.__dict__["required"] = True
    return method


def is_required(method: Callable[..., object]) -> bool:
    """True for a method that is marked with ``required``."""
    return "required" in vars(method)


class Component(Generic[OptionsT]):
    """Base of every component: ``self.options`` and ``self.tasks`` (the order is the tasks' index)."""

    Options: ClassVar[type[BaseModel]] = Options
    packages: ClassVar[dict[str, str]] = {}
    """Modules that it needs, each with the name by which pip installs it: ``mft spec check`` reports missing ones."""

    def preflight(self) -> list[str]:
        """What ``mft spec check`` can find out without doing any of the work: why a run would fail, and how to fix it.

        One full sentence for each problem. It should take milliseconds, and import neither torch nor transformers.
        """
        return []

    def __init_subclass__(cls, **more: object) -> None:
        super().__init_subclass__(**more)
        adopt_old_names(cls)

    def __init__(self, options: OptionsT, tasks: tuple[TaskInfo, ...] = ()) -> None:
        self.options = options
        self.tasks = tasks
