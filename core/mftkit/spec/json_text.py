"""JSON read strictly: repeated keys and numbers that are not finite are refused, with their line."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mftkit.base.json_types import JsonObject
    from mftkit.spec.positions import Location

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+|\n')


class RefusedTextError(ValueError):
    """Text that can be parsed but is not allowed in a spec, or that is not valid YAML."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


def parse_json(text: str) -> Any:
    """Parse JSON without repeated keys and without numbers that are not finite. Raises ValueError."""
    try:
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_not_a_number,
            parse_float=finite,
            parse_int=integer,
        )
    except RecursionError:
        raise RefusedTextError("is nested too deeply") from None


def parse_json_lines(text: str) -> tuple[Any, dict[Location, int]]:
    """Parse JSON as ``parse_json`` does; returns the value, and the line of each key and each item of a list."""
    lines: dict[Location, int] = {}
    try:
        json.loads(text, parse_int=str)  # syntax errors first: the walk expects valid text
        _walk(_tokens(text), (), lines)
    except RecursionError:
        raise RefusedTextError("is nested too deeply") from None
    return parse_json(text), lines


def _tokens(text: str) -> Iterator[tuple[str, int]]:
    line = 1
    for found in _TOKEN.finditer(text):
        if found[0] == "\n":
            line += 1
        else:
            yield found[0], line


def _walk(tokens: Iterator[tuple[str, int]], at: Location, lines: dict[Location, int]) -> str:
    """Note the lines of one value, or refuse it; returns "]" if there is none, because the list has ended."""
    token, line = next(tokens)
    if token == "]":
        return token
    lines.setdefault(at, line)
    if token == "{":
        _walk_object(tokens, at, lines)
    elif token == "[":
        index = 0
        while _walk(tokens, (*at, index), lines) != "]" and next(tokens)[0] != "]":
            index += 1
    elif not token.startswith('"'):
        _check_number(token, line)
    return ""


def _walk_object(tokens: Iterator[tuple[str, int]], at: Location, lines: dict[Location, int]) -> None:
    for token, line in tokens:
        if token == "}":
            return
        if token == ",":
            continue
        key = json.loads(token)
        if (*at, key) in lines:
            raise RefusedTextError(repeated(key), line)
        lines[*at, key] = line
        next(tokens)  # the colon
        _walk(tokens, (*at, key), lines)


def _check_number(token: str, line: int) -> None:
    try:
        parse_json(token)
    except RefusedTextError as error:
        raise RefusedTextError(str(error), line) from None


def repeated(key: str) -> str:
    """The message about a key that is given twice."""
    return f"the key {json.dumps(key, ensure_ascii=False)} is given twice in one object"


def _object(pairs: list[tuple[str, Any]]) -> JsonObject:
    found: JsonObject = {}
    for key, value in pairs:
        if key in found:
            raise RefusedTextError(repeated(key))
        found[key] = value
    return found


def _not_a_number(text: str) -> NoReturn:
    raise RefusedTextError(f"{text} is not a JSON number")


def finite(text: str) -> float:
    """Read a number with a fraction or an exponent. Raises RefusedTextError if it is too large for one."""
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise RefusedTextError(f"the number {text} is too large")
    return value


def integer(text: str) -> int:
    """Read a whole number. Raises RefusedTextError if it has thousands of digits, which Python refuses."""
    try:
        return int(text)
    except ValueError:
        raise RefusedTextError(f"the number {text[:20]}... is too long") from None
