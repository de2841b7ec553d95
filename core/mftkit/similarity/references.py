"""Rows that no training row may repeat: the problems of a benchmark."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mftkit.data.rows.files import FileSource
from mftkit.data.rows.formats import BadRow, RowError
from mftkit.similarity.code import docstrings
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

PROBLEM = ("prompt", "canonical_solution")
"""Keys of a row of HumanEval's format."""
_EXAMPLES = (">>>", "example", "for example", "examples")


@dataclass(frozen=True)
class Reference:
    """One reference."""

    name: str
    """"task_id" of the row, else where it stands."""
    prose: tuple[str, ...]
    """What is compared as words: its docstring, with and without the examples in it, or its text."""
    code: str
    """What is compared as code."""


def read_references(paths: Sequence[Path], field: str | None) -> Iterator[Reference]:
    """The references in files of JSON Lines (gzipped too), or any format that data files have.

    Args:
        paths: the files.
        field: the key that holds a reference's text; None: rows are of HumanEval's format, with a "prompt" that
            is signature and docstring, and a "canonical_solution".

    Raises:
        MftError: a file that cannot be read, or a row without the key, as ``PATH:LINE: what is wrong``.
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
            raise MftError(f"{path}: holds no reference")


def references_digest(paths: Sequence[Path]) -> str:
    """Equal for files of equal content. Raises MftError for one that cannot be read."""
    digests = "".join(FileSource(path).digest().sha256 for path in paths)
    return hashlib.sha256(digests.encode()).hexdigest()[:16]


def _reference(row: Any, field: str | None, place: str) -> Reference:
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


def _text(row: dict[str, Any], key: str) -> str:
    value = row.get(key)
    if not isinstance(value, str):
        known = ", ".join(repr(name) for name in list(row)[:8])
        raise BadRow(
            f"'{key}' is missing or no text (keys given: {known}); name the key that holds the reference's text"
        )
    return value
