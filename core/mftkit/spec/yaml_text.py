"""YAML read as strictly as JSON: what YAML's versions read differently is text or refused, never converted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from mftkit.spec.json_text import RefusedTextError, finite, integer, repeated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ruamel.yaml.events import Event

    from mftkit.spec.positions import Location

MOST_VALUES = 100_000
"""Values after aliases are replaced; a file of a few lines can stand for billions."""
MERGE = "<<"
_TAG = "tag:yaml.org,2002:"
_NULL = ("", "~", "null", "Null", "NULL")
_TRUE, _FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")
_INTEGER = re.compile(r"[-+]?[0-9]+")
_OLD_OCTAL = re.compile(r"[-+]?0[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def parse_yaml_lines(text: str) -> tuple[Any, dict[Location, int]]:
    """Parse one YAML document; returns the value, and the line of each key and each item of a list.

    A plain scalar is what YAML 1.2 says and what JSON has: ``1e-5`` is a number, and ``no``, ``12:30``, ``1_000`` and
    dates are text. Anchors, aliases and ``<<`` are replaced by what they stand for.

    Raises:
        RefusedTextError: it is not valid, or has repeated keys, numbers that are not finite, numbers that begin with
            0, tags, or several documents.
    """
    try:
        value = _Reader(text).document()
        lines: dict[Location, int] = {}
        return _plain(value, (), lines), lines
    except MarkedYAMLError as error:
        raise RefusedTextError(*_syntax_error(error)) from None
    except YAMLError as error:  # a character that YAML does not have
        raise RefusedTextError(f"not valid YAML: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise RefusedTextError("is nested too deeply") from None


@dataclass(frozen=True)
class _Value:
    """A value with the line on which it begins."""

    content: object
    """A scalar, a list of values, or an object from keys to (line of the key, value)."""
    line: int


class _Reader:
    """Builds values from the events of ruamel.yaml's parser."""

    def __init__(self, text: str) -> None:
        self._events: Iterator[Event] = YAML(typ="safe", pure=True).parse(text)
        self._anchors: dict[str, _Value | None] = {}

    def document(self) -> _Value:
        """The value of the only document."""
        next(self._events)  # the start of the stream
        start = next(self._events)
        if isinstance(start, StreamEndEvent):
            return _Value(None, 1)
        assert isinstance(start, DocumentStartEvent)
        if start.version not in (None, (1, 2)):
            version = ".".join(map(str, start.version))
            _refuse(f"a spec is read as YAML 1.2; remove the line %YAML {version}", start)
        value = self._value(next(self._events))
        assert isinstance(next(self._events), DocumentEndEvent)
        after = next(self._events)
        if not isinstance(after, StreamEndEvent):
            _refuse("a second document begins here; a spec is one document", after)
        return value

    def _value(self, event: Event) -> _Value:
        if isinstance(event, AliasEvent):
            return self._alias(event)
        anchor = getattr(event, "anchor", None)
        if anchor:
            self._anchors[anchor] = None  # it is not complete yet
        if isinstance(event, MappingStartEvent):
            value = self._mapping(event)
        elif isinstance(event, SequenceStartEvent):
            value = self._sequence(event)
        else:
            assert isinstance(event, ScalarEvent)
            value = _Value(_scalar(event), _line(event))
        if anchor:
            self._anchors[anchor] = value
        return value

    def _alias(self, event: AliasEvent) -> _Value:
        if event.anchor not in self._anchors:
            hint = "; quote a text that begins with *, such as a glob pattern"
            _refuse(f"the alias *{event.anchor} has no anchor &{event.anchor} before it{hint}", event)
        value = self._anchors[event.anchor]
        if value is None:
            _refuse(f"the alias *{event.anchor} is inside what it stands for", event)
        return value

    def _sequence(self, start: SequenceStartEvent) -> _Value:
        _check_tag(start, "seq")
        items = []
        while not isinstance(event := next(self._events), SequenceEndEvent):
            items.append(self._value(event))
        return _Value(items, _line(start))

    def _mapping(self, start: MappingStartEvent) -> _Value:
        _check_tag(start, "map")
        found: dict[str, tuple[int, _Value]] = {}
        merged: dict[str, tuple[int, _Value]] = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            if not isinstance(event, ScalarEvent):
                _refuse("a key must be text, not an alias, a list or an object", event)
            value = self._value(next(self._events))
            if event.value == MERGE and event.implicit[0]:
                merged = {**_merged(value, event), **merged}
            elif event.value in found:
                _refuse(repeated(event.value), event)
            else:
                found[event.value] = (_line(event), value)
        return _Value({**merged, **found}, _line(start))


def _merged(value: _Value, event: Event) -> dict[str, tuple[int, _Value]]:
    """What ``<<`` takes over: of several objects, the earlier ones win."""
    objects = value.content if isinstance(value.content, list) else [value]
    found: dict[str, tuple[int, _Value]] = {}
    for each in objects:
        if not isinstance(each.content, dict):
            _refuse(f"{MERGE} takes an object or a list of objects", event)
        found = {**each.content, **found}
    return found


def _scalar(event: ScalarEvent) -> str | int | float | bool | None:
    tag, text = event.tag, str(event.value)
    if tag in ("!", f"{_TAG}str") or (tag is None and not event.implicit[0]):
        return text
    value = _resolved(text, event)
    if tag is not None and type(value) is not _TYPES.get(tag.removeprefix(_TAG)):
        _refuse(f"the tag {tag.replace(_TAG, '!!')} is not allowed here; remove it", event)
    return value


_TYPES: dict[str, type] = {"int": int, "float": float, "bool": bool, "null": type(None)}


def _resolved(text: str, event: Event) -> str | int | float | bool | None:
    """The value of a scalar without quotes."""
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    try:
        return _number(text)
    except RefusedTextError as error:
        _refuse(str(error), event)


def _number(text: str) -> str | int | float:
    """The number that a text is, or the text itself."""
    if _OLD_OCTAL.fullmatch(text):
        raise RefusedTextError(
            f"{text} is an octal number to some readers of YAML; remove the 0, or quote it"
        )
    if _INTEGER.fullmatch(text):
        return integer(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    if _NOT_FINITE.fullmatch(text):
        raise RefusedTextError(f"{text} is not a finite number")
    return finite(text) if _FLOAT.fullmatch(text) else text


def _check_tag(event: Event, allowed: str) -> None:
    tag = getattr(event, "tag", None)
    if tag not in (None, "!", f"{_TAG}{allowed}"):
        _refuse(f"the tag {tag.replace(_TAG, '!!')} is not allowed here; remove it", event)


def _plain(value: _Value, at: Location, lines: dict[Location, int]) -> Any:
    """The value without its lines, which are noted in ``lines``."""
    lines.setdefault(at, value.line)
    if len(lines) > MOST_VALUES:
        raise RefusedTextError("stands for too many values after its aliases are replaced")
    if isinstance(value.content, list):
        return [_plain(item, (*at, index), lines) for index, item in enumerate(value.content)]
    if not isinstance(value.content, dict):
        return value.content
    lines.update({(*at, key): line for key, (line, _) in value.content.items()})
    return {key: _plain(inner, (*at, key), lines) for key, (_, inner) in value.content.items()}


def _line(event: Event) -> int:
    return int(event.start_mark.line) + 1


def _refuse(message: str, event: Event) -> NoReturn:
    raise RefusedTextError(message, _line(event))


def _syntax_error(error: MarkedYAMLError) -> tuple[str, int | None]:
    """Message and line of an error that the parser found."""
    mark = error.problem_mark or error.context_mark
    problem = error.problem or error.context or "cannot be parsed"
    if "\\t" in problem:
        problem += "; indent with spaces, not with tabs"
    column = "" if mark is None else f" (column {mark.column + 1})"
    begun = error.context_mark
    if error.context and begun is not None and mark is not None and begun.line != mark.line:
        column += f", {error.context} that begins in line {begun.line + 1}"
    return f"not valid YAML: {problem}{column}", None if mark is None else mark.line + 1
