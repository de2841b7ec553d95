"""The files that a component's options name, and a digest of the content of each."""

from __future__ import annotations

import hashlib
import os
from dataclasses import is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from mftkit.interfaces import AUTO
from mftkit.interfaces.chat import ChatModel
from mftkit.interfaces.component import InputName, InputPath
from mftkit.interfaces.references import ChatRef, ComponentRef
from mftkit.plugins import installed, kinds
from mftkit_registry import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

    from mftkit.interfaces.component import Component

_Place = tuple[str, ...]
MISSING, UNREADABLE = "missing", "unreadable"
_BLOCK = 1 << 20


def file_digests(options: BaseModel) -> dict[str, str]:
    """Return a digest of what each path among options names, by the place of the option, such as ``references.0``.

    Paths are those of type ``mftkit.SpecPath``, and of type ``mftkit.SpecPathOrHubId`` if they are local, at any depth,
    also in the options of components that the options name; for a chat model without those that do not affect its
    replies. A path that names nothing has the digest "missing".
    """
    return {".".join(place): content_digest(path) for place, path in _paths(options, ())}


def input_places(options: BaseModel) -> set[tuple[str, ...]]:
    """Return the places of the options whose content ``file_digests`` has, each as its keys and indices."""
    return {place for place, _path in _paths(options, ())}


def files_of_component(kind: Kind[Component], ref: ComponentRef) -> dict[str, str]:
    """Return ``file_digests`` of the options of a component that an option names."""
    return {".".join(place): content_digest(path) for place, path in _paths_of_component(kind, ref, ())}


def option_components(options: BaseModel) -> Iterator[tuple[_Place, Kind[Component], ComponentRef]]:
    """Yield the components that options name at any depth: the place of the option, the kind, and the reference."""
    yield from _components(options, (), None)


def _components(
    value: object, place: _Place, kind: Kind[Component] | None
) -> Iterator[tuple[_Place, Kind[Component], ComponentRef]]:
    match value:
        case ChatRef():
            yield place, kinds.CHAT_MODEL, value
        case ComponentRef():
            if kind is not None:
                yield place, kind, value
        case BaseModel():
            for name, field in type(value).model_fields.items():
                yield from _components(getattr(value, name, None), (*place, name), _kind_of(field))
        case _:
            for name, part in _parts(value):
                yield from _components(part, (*place, name), kind)


def content_digest(path: Path) -> str:
    """Return the SHA-256 of a file, or of the names and contents of all files in a directory.

    Each file is read once per process and state (size and time of its last change).
    """
    if not path.is_dir():
        return _file_digest(path)
    total = hashlib.sha256()
    for directory, below, names in os.walk(path):
        below.sort()
        for name in sorted(names):
            file = Path(directory, name)
            total.update(
                f"{file.relative_to(path).as_posix()}\0{_file_digest(file)}\n".encode("utf-8", "replace")
            )
    return total.hexdigest()


def _file_digest(file: Path) -> str:
    try:
        state = file.stat()
    except FileNotFoundError:
        return MISSING
    except OSError:
        return UNREADABLE
    return _read(str(file), state.st_size, state.st_mtime_ns) if file.is_file() else "no file"


@lru_cache(maxsize=1 << 16)
def _read(path: str, size: int, changed: int) -> str:
    del size, changed  # distinguish the states of one file
    total = hashlib.sha256()
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a path as text is the key of the cache
            while block := file.read(_BLOCK):
                total.update(block)
    except OSError:
        return UNREADABLE
    return total.hexdigest()


def _paths(
    value: object, place: _Place, kind: Kind[Component] | None = None
) -> Iterator[tuple[_Place, Path]]:
    """Yield the paths in a value with their places; ``kind``: of the components that the value may name."""
    match value:
        case InputPath() | InputName():
            yield place, Path(value)
        case ChatRef():
            yield from _paths_of_component(kinds.CHAT_MODEL, value, (*place, "options"))
        case ComponentRef():
            if kind is not None and value.name != AUTO:
                yield from _paths_of_component(kind, value, (*place, "options"))
        case BaseModel():
            for name, field in type(value).model_fields.items():
                yield from _paths(getattr(value, name, None), (*place, name), _kind_of(field))
        case _:
            for name, part in _parts(value):
                yield from _paths(part, (*place, name), kind)


def _parts(value: object) -> Iterator[tuple[str, object]]:
    """Yield the parts of a container with their names; nothing for other values."""
    if isinstance(value, dict):
        yield from ((str(to_jsonable_python(key, fallback=str)), part) for key, part in value.items())
    elif isinstance(value, list | tuple):
        yield from ((str(number), part) for number, part in enumerate(value))
    elif isinstance(value, set | frozenset):
        yield from ((str(number), part) for number, part in enumerate(sorted(value, key=str)))
    elif is_dataclass(value):
        yield from vars(value).items()


def _paths_of_component(
    kind: Kind[Component], ref: ComponentRef, place: _Place
) -> Iterator[tuple[_Place, Path]]:
    component = installed.component_class(kind, ref.name)
    options = component.Options.model_validate(ref.options)
    ignored: frozenset[str] = frozenset()
    if issubclass(component, ChatModel):
        ignored = component.options_without_effect_on_replies
    for found, path in _paths(options, ()):
        if found[0] not in ignored:
            yield (*place, *found), path


def _kind_of(field: FieldInfo) -> Kind[Component] | None:
    """Return the kind of the components that a field names, if any (see ``mftkit.spec.references.Place``)."""
    kinds_found = (
        getattr(mark, "kind", None) for mark in _marks(Annotated[field.annotation, *field.metadata, None])
    )
    return next((kind for kind in kinds_found if isinstance(kind, Kind)), None)


def _marks(annotation: object) -> Iterator[object]:
    """Yield what types are annotated with, at any depth."""
    if get_origin(annotation) is Annotated:
        yield from annotation.__metadata__  # type: ignore[attr-defined]
    for inner in get_args(annotation):
        yield from _marks(inner)
