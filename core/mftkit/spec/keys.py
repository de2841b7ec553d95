"""Finds the keys that are allowed at a place in a Pydantic model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, get_args, get_origin

from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterator


def allowed_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Return the keys allowed in the object at ``location``; empty if no model describes it."""
    models = [model]
    for part in location:
        if isinstance(part, str):
            fields = [annotation for found in models for key, annotation in _fields(found) if key == part]
            models = [inner for annotation in fields for inner in _models(annotation)]
    return list(dict.fromkeys(key for found in models for key, _ in _fields(found)))


def _fields(model: type[BaseModel]) -> Iterator[tuple[str, object]]:
    for name, field in model.model_fields.items():
        yield field.alias or name, field.annotation


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    """Yield the models in a type: the type itself, or those inside a list, a union, or an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) is Annotated:
        yield from _models(get_args(annotation)[0])
    else:
        for argument in get_args(annotation):
            yield from _models(argument)
