"""Faults of rows."""

from __future__ import annotations

from mftkit_registry.errors import MftError


class BadRow(Exception):  # noqa: N818 - a verdict, turned into a RowError where the place is known
    """A fault of a row, raised where the row's place is not known."""


class RowError(MftError):
    """A fault of a row of a data file: ``PATH:LINE: what is wrong``."""

    def __init__(self, source: str, line: int, what: str) -> None:
        super().__init__(f"{source}:{line}: {what}")
