"""Which keys a place in a Pydantic model may have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterator


def allowed_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Keys allowed in the object at ``location``; empty where no model says."""
    models = [model]
    for part in location:
        if isinstance(part, str):
            fields = [found for found in models for key, found in _fields(found) if key == part]
            models = [inner for annotation in fields for inner in _models(annotation)]
    return list(dict.fromkeys(key for found in models for key, _ in _fields(found)))


def _fields(model: type[BaseModel]) -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        yield field.alias or name, field.annotation


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a type holds: itself, or inside a list, a union, or an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) is Annotated:
        yield from _models(get_args(annotation)[0])
    else:
        for argument in get_args(annotation):
            yield from _models(argument)
