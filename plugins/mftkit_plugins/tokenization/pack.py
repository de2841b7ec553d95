"""Several samples per row: best-fit decreasing over all samples, on a histogram of lengths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

import mftkit
from mftkit import Layout, TokenizationMode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mftkit import Batch, MicroBatch

    Ints = NDArray[np.int64]


class Pack(TokenizationMode):
    """Fills rows of ``max_length`` with complete samples."""

    class Options(mftkit.Options):
        """How samples are packed."""

        attention: Literal["isolated", "shared"] = "isolated"
        """isolated: no sample sees another, exactly as if each had its own row; shared: a sample sees the earlier ones
        of its row, as examples (in training; validation is always isolated)."""
        scope: Literal["mixed", "task"] = "mixed"
        """mixed: a row may hold samples of several tasks; task: of one task only."""

    options: Options

    def layout(self, lengths: Ints, tasks: Ints, order: Ints, max_length: int) -> Layout:
        """Return rows in random order: each has the rank, in ``order``, of the sample that opened it.

        If rows were ranked by the earliest of their samples, rows of many samples would tend to come early.
        """
        if len(lengths) and not 1 <= lengths.min() <= lengths.max() <= max_length:
            raise ValueError(f"lengths must be in 1..{max_length}")
        row_of = np.empty(len(lengths), np.int64)
        openers: list[Ints] = []
        rows = 0
        for scope in self._scopes(order, tasks):
            members = scope[_scatter(len(scope))]
            row, opener = best_fit(lengths[members], max_length)
            row_of[members] = row + rows
            openers.append(members[opener])
            rows += len(opener)
        rank = np.empty(len(lengths), np.int64)
        rank[order] = np.arange(len(order))
        position = np.empty(rows, np.int64)
        if rows:
            position[np.argsort(rank[np.concatenate(openers)])] = np.arange(rows)
        position_of = position[row_of]
        samples = np.argsort(position_of * len(lengths) + rank)
        sizes = np.bincount(position_of, minlength=rows)
        return Layout(samples, np.concatenate(([0], np.cumsum(sizes))))

    def _scopes(self, order: Ints, tasks: Ints) -> list[Ints]:
        """Return groups of samples that may share rows, each in the epoch's order."""
        if self.options.scope == "mixed":
            return [order]
        by_task = order[np.argsort(tasks[order], kind="stable")]
        borders = np.flatnonzero(np.diff(tasks[by_task])) + 1
        return np.split(by_task, borders) if len(order) else []

    def collate(self, samples: MicroBatch) -> Batch:
        """Return rows as long as the longest of them."""
        return mftkit.collate(samples, isolated=self.options.attention == "isolated")

    def describe(self) -> str:
        """Return that rows hold several samples."""
        return "samples are packed"


def _scatter(n: int) -> Ints:
    """Return a fixed permutation of n positions that spreads each stretch of them over all (Fibonacci hashing).

    Among equal lengths, the first items fill rows up and the last open new rows. If these were the first and last in
    the epoch's order, rows opened by short samples would come late, and fillers would come first in their rows.
    """
    return np.argsort(np.arange(n, dtype=np.uint32) * np.uint32(2654435769))


def best_fit(lengths: Ints, window: int) -> tuple[Ints, Ints]:
    """Return each item's row [n], and the item that opened each row [rows].

    Best-fit decreasing: the longest item first, into the fullest row with enough room. Items of one length are placed
    together, in blocks of rows with equal room, so that the work grows with the number of distinct lengths and not of
    items; among equal lengths the given order decides.
    """
    longest_first = np.argsort(-lengths, kind="stable")
    descending = lengths[longest_first]
    borders = np.concatenate(([0], np.flatnonzero(np.diff(descending)) + 1, [len(lengths)]))
    row_of = np.empty(len(lengths), np.int64)
    rooms = _Rooms()
    openers: list[Ints] = []
    rows = 0
    for begin, end in zip(borders[:-1].tolist(), borders[1:].tolist(), strict=True):
        if begin == end:
            continue
        items = longest_first[begin:end]
        length = int(descending[begin])
        while len(items) and (block := rooms.take(length, len(items))) is not None:
            room, found = block
            placed = items[: len(found) * (room // length)]
            row_of[placed] = rooms.fill(found, room, length, len(placed))
            items = items[len(placed) :]
        if len(items):
            fit = window // length
            new = rows + np.arange(-(-len(items) // fit))
            row_of[items] = rooms.fill(new, window, length, len(items))
            openers.append(items[::fit])
            rows += len(new)
    return row_of, np.concatenate(openers) if openers else np.empty(0, np.int64)


class _Rooms:
    """Rows by the number of tokens that still fit in."""

    def __init__(self) -> None:
        self._blocks: dict[int, list[Ints]] = {}
        self._set = 0
        """Bit r: some row has room for r tokens. One integer, so that a shift finds the least room that suffices."""

    def put(self, room: int, rows: Ints) -> None:
        """Add rows with this much room each; full rows are dropped."""
        if len(rows) and room:
            self._blocks.setdefault(room, []).append(rows)
            self._set |= 1 << room

    def fill(self, rows: Ints, room: int, length: int, count: int) -> Ints:
        """Return the row of each of ``count`` items of one length, put one after another into rows of equal room."""
        fit = room // length
        full, rest = divmod(count, fit)
        self.put(room - fit * length, rows[:full])
        self.put(room - rest * length, rows[full : full + 1])
        return np.repeat(rows, fit)[:count]

    def take(self, length: int, items: int) -> tuple[int, Ints] | None:
        """Take the rows with the least room for ``length``, as many as ``items`` need: (room, rows); None if none."""
        above = self._set >> length
        if not above:
            return None
        room = length + (above & -above).bit_length() - 1
        blocks = self._blocks[room]
        rows = blocks.pop()
        most = -(-items // (room // length))
        if len(rows) > most:
            blocks.append(rows[most:])
        elif not blocks:
            self._set &= ~(1 << room)
        return room, rows[:most]
