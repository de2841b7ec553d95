"""How a component's options read: type with bounds, default, and help."""

from __future__ import annotations

import json
import types
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from mftkit.plugins.option_bounds import bounds
from mftkit_registry import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydantic.fields import FieldInfo


def describe_options(model: type[BaseModel], prefix: str = "") -> list[tuple[str, str, str, str]]:
    """(option, type, default, help) of each option; those of a nested model follow it as ``option.inner``."""
    rows = []
    for name, field in model.model_fields.items():
        key = prefix + (field.alias or name)
        rows.append(
            (key, type_name(_whole(field)), _default(field), " ".join((field.description or "").split()))
        )
        for inner in _models(_whole(field)):
            rows += describe_options(inner, f"{key}.")
    return rows


def _whole(field: FieldInfo) -> Any:
    """The type as it was written: pydantic takes an outermost ``Annotated`` apart."""
    return Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "(required)"
    try:
        value = field.get_default(call_default_factory=True)
    except Exception:  # a factory that needs the other options
        return "(from other options)"
    return json.dumps(to_jsonable_python(value, fallback=str), ensure_ascii=False)


def type_name(annotation: Any) -> str:
    """A type as a person writes it, with its bounds.

    >>> from pydantic import Field
    >>> type_name(dict[str, float] | None)
    'object of text to number, or null'
    >>> type_name(list[Annotated[int, Field(ge=1)]])
    'list of (whole number, at least 1)'
    >>> type_name(Literal["a", "b"])
    '"a" or "b"'
    >>> type_name(dict[str, Any])
    'object of text to anything'
    """
    names = {bool: "true or false", int: "whole number", float: "number", str: "text", type(None): "null"}
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        if component := _component(arguments[1:]):
            return f'{component}: its name, or {{"name": ..., "options": ...}}'
        return _bounded(arguments[0], bounds(arguments[1:], arguments[0]))
    if annotation in names:
        return names[annotation]
    if annotation in (Any, object):
        return "anything"
    if origin is Literal:
        return " or ".join(json.dumps(value) for value in arguments)
    if origin in (Union, types.UnionType):
        return ", or ".join(type_name(argument) for argument in arguments)
    if origin in (list, tuple, set, frozenset):
        return f"list of {_inner_name(arguments[0])}"
    if origin is dict:
        return f"object of {_inner_name(arguments[0])} to {_inner_name(arguments[1])}"
    return _class_name(annotation)


def _bounded(annotation: Any, limits: list[str]) -> str:
    """The name of a type with its bounds, which stand before "or null"."""
    members = get_args(annotation)
    if limits and get_origin(annotation) in (Union, types.UnionType) and type(None) in members:
        names = [type_name(member) for member in members if member is not type(None)]
        return f"{', '.join([', or '.join(names), *limits])}, or null"
    return ", ".join([type_name(annotation), *limits])


def _inner_name(annotation: Any) -> str:
    """The name of a type inside another; in parentheses if it has bounds, which would seem to be the outer one's."""
    name = type_name(annotation)
    bounded = get_origin(annotation) is Annotated and bounds(get_args(annotation)[1:], annotation)
    return f"({name})" if bounded else name


def _class_name(annotation: Any) -> str:
    if not isinstance(annotation, type):
        return str(annotation).removeprefix("typing.")
    if issubclass(annotation, Path):
        return "path"
    if issubclass(annotation, Enum):
        return " or ".join(json.dumps(member.value) for member in annotation)
    return "object" if issubclass(annotation, BaseModel | dict) else annotation.__name__


def _component(metadata: Iterable[object]) -> str | None:
    """The kind of component that an option names, if its type is annotated with a ``mftkit.spec`` place."""
    kinds = (getattr(found, "kind", None) for found in metadata)
    return next((kind.name for kind in kinds if isinstance(kind, Kind)), None)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models whose fields are options too; not that of a component, which the component's own page shows."""
    if get_origin(annotation) is Annotated and _component(get_args(annotation)[1:]):
        return
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)
