"""Finds the keys that are allowed at a place in a Pydantic model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, get_args, get_origin

from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydantic.fields import FieldInfo


def allowed_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Return the keys allowed in the object at ``location``; empty if no model describes it."""
    models = [model]
    for part in location:
        if isinstance(part, str):
            models = [inner for field in fields_at(models, part) for inner in models_in(field.annotation)]
    return list(dict.fromkeys(key for found in models for key, _ in _fields(found)))


def fields_at(models: Iterable[type[BaseModel]], key: str) -> list[FieldInfo]:
    """Return the fields that are written as ``key`` in objects of any of these models."""
    return [field for model in models for name, field in _fields(model) if name == key]


def _fields(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        yield field.alias or name, field


def models_in(annotation: object) -> Iterator[type[BaseModel]]:
    """Yield the models in a type: the type itself, or those inside a list, a union, or an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) is Annotated:
        yield from models_in(get_args(annotation)[0])
    else:
        for argument in get_args(annotation):
            yield from models_in(argument)
