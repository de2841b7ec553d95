"""Which rows of a task are shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mftkit_registry import MftError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mftkit.data.samples import Part


@dataclass(frozen=True)
class Request:
    """What ``mft data show SPEC`` is asked for."""

    task: str | None = None
    """None: all tasks."""
    rows: int = 2
    """Data rows of each task."""
    row: str | None = None
    """The number of a data row among the task's, from 1, or ``PATH:LINE``; None: the first ``rows``."""


@dataclass(frozen=True)
class ChosenRow:
    """A data row: the rows of a table that are its samples."""

    part: Part
    samples: NDArray[np.int64]


def chosen_rows(request: Request, train: Part, valid: Part, task: str) -> list[ChosenRow]:
    """Return the data rows of a task that are shown.

    Args:
        request: what is asked for.
        train: the task's training samples.
        valid: its validation samples; in the same table, or in one of their own.
        task: the task's name, for messages.

    Raises:
        MftError: the task has no such row.
    """
    if request.row is None:
        origins = train.table.origins[train.rows]
        firsts = _distinct(origins)[: request.rows]
        return [_row(train, tuple(origins[first])) for first in firsts]
    if request.row.isdecimal():
        origins = train.table.origins
        firsts, number = _distinct(origins), int(request.row)
        if not 1 <= number <= len(firsts):
            raise MftError(f"--row {number}: task {task} has the rows 1 to {len(firsts)}")
        return [_row(train, tuple(origins[firsts[number - 1]]))]
    return _at(request.row, (train,) if valid.table is train.table else (train, valid))


def number_of_rows(part: Part) -> int:
    """Return how many data rows the samples of a table come from."""
    return len(_distinct(part.table.origins))


def _at(place: str, parts: tuple[Part, ...]) -> list[ChosenRow]:
    path, _, line = place.rpartition(":")
    if not path or not line.isdecimal():
        raise MftError(f"--row {place}: expected the number of a row, from 1, or PATH:LINE")
    for part in parts:
        for source, name in enumerate(part.names):
            if name == path or Path(name).absolute() == Path(path).absolute():
                row = _row(part, (source, int(line)))
                if len(row.samples):
                    return [row]
    return []


def _row(part: Part, origin: tuple[int, int]) -> ChosenRow:
    return ChosenRow(part, np.flatnonzero((part.table.origins == np.array(origin)).all(axis=1)))


def _distinct(origins: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the index of the first sample of each data row, in order; a row's samples stand together."""
    new = np.ones(len(origins), dtype=bool)
    new[1:] = (origins[1:] != origins[:-1]).any(axis=1)
    return np.flatnonzero(new)
