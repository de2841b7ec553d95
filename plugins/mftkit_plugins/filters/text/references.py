"""Rows that no training row may repeat: the problems of a benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mftkit import BadRow, FileSource, MftError, RowError
from mftkit_plugins.filters.text.code import docstrings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from mftkit import JsonObject

PROBLEM = ("prompt", "canonical_solution")
"""Keys of a row in HumanEval's format."""
_EXAMPLES = (">>>", "example", "for example", "examples")


@dataclass(frozen=True)
class Reference:
    """One reference."""

    name: str
    """The row's "task_id", otherwise FILE:LINE."""
    prose: tuple[str, ...]
    """Texts that are compared as words: its docstring with and without the examples, or its text."""
    code: str
    """Text that is compared as code."""


def read_references(paths: Sequence[Path], field: str | None) -> Iterator[Reference]:
    """Read references from files in any format that data files may have, such as JSON Lines, gzipped or not.

    Args:
        paths: the files.
        field: the key that holds a reference's text; None for rows in HumanEval's format, with a "prompt"
            (signature and docstring) and a "canonical_solution".

    Raises:
        MftError: a file cannot be read, or a row lacks the key (``PATH:LINE: what is wrong``).
    """
    for path in paths:
        any_row = False
        for numbered in FileSource(path).rows():
            any_row = True
            if isinstance(numbered.value, BadRow):
                raise RowError(str(path), numbered.line, str(numbered.value))
            place = f"{path.name}:{numbered.line}"
            try:
                yield _reference(numbered.value, field, place)
            except BadRow as bad:
                raise RowError(str(path), numbered.line, str(bad)) from None
        if not any_row:
            raise MftError(f"{path}: contains no references")


def _reference(row: object, field: str | None, place: str) -> Reference:
    if not isinstance(row, dict):
        raise BadRow("a reference must be a JSON object")
    name = str(row.get("task_id", place))
    if field is not None:
        text = _text(row, field)
        found = docstrings(text)
        return Reference(name, tuple(found) or (text,), text)
    prompt, solution = (_text(row, key) for key in PROBLEM)
    whole = prompt + solution
    return Reference(name, tuple(_prose(docstrings(whole) or [prompt])), whole)


def _prose(found: Sequence[str]) -> Iterator[str]:
    for docstring in found:
        yield docstring
        lines = docstring.split("\n")
        starts = (i for i, line in enumerate(lines) if line.strip().lower().startswith(_EXAMPLES))
        short = "\n".join(lines[: next(starts, len(lines))])
        if short.strip() and short != docstring:
            yield short


def _text(row: JsonObject, key: str) -> str:
    value = row.get(key)
    if not isinstance(value, str):
        known = ", ".join(repr(name) for name in list(row)[:8])
        raise BadRow(
            f"'{key}' is missing or not a string (keys given: {known}); name the key that holds the reference's text"
        )
    return value
