"""What a text shares with references: runs of words, and runs of code whatever its names are."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mftkit_plugins.filters.text.code import canonical
from mftkit_plugins.filters.text.tokens import NAME, python_tokens, renamed_runs, windows, words

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from numpy.typing import NDArray

SHORTEST = 8
"""Least words of a reference that is shorter than a run; it is then searched for as a whole."""


class Shared(NamedTuple):
    """What a text has in common with the reference that it shares most with."""

    reference: int
    runs: int
    """Distinct runs of the reference that the text contains."""
    share: float
    """Their share of all distinct runs of the reference."""


class _Index:
    """For each run, the references that contain it."""

    def __init__(self) -> None:
        self._places: defaultdict[int, set[int]] = defaultdict(set)
        self._sizes: defaultdict[int, int] = defaultdict(int)

    def add(self, reference: int, runs: Iterable[Hashable]) -> None:
        for run in set(map(hash, runs)):
            if reference not in self._places[run]:
                self._places[run].add(reference)
                self._sizes[reference] += 1

    def best_match(self, runs: Iterable[Hashable]) -> Shared | None:
        """Return the reference whose share among ``runs`` is greatest."""
        counts: defaultdict[int, int] = defaultdict(int)
        for run in set(map(hash, runs)):
            for reference in self._places.get(run, ()):
                counts[reference] += 1
        found = (Shared(key, count, count / self._sizes[key]) for key, count in counts.items())
        return max(found, key=lambda shared: (shared.share, shared.runs, -shared.reference), default=None)


class WordIndex:
    """Runs of ``size`` words, at least half of them not numbers: counting upwards repeats nobody's text."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._whole: set[int] = set()
        """Lengths of references that are shorter than a run."""
        self._index = _Index()

    def add(self, reference: int, text: str) -> bool:
        """Add a reference. Return True if it is long enough to be found."""
        found = words(text)
        size = self.size
        if SHORTEST <= len(found) < size:
            size = len(found)
            self._whole.add(size)
        runs = list(_runs(found, size)) if len(found) >= SHORTEST else []
        self._index.add(reference, runs)
        return bool(runs)

    def best_match(self, text: str) -> Shared | None:
        """Return the reference that the text shares most with."""
        found = words(text)
        return self._index.best_match(run for size in (self.size, *self._whole) for run in _runs(found, size))


class CodeIndex:
    """Runs of ``size`` tokens of Python code without layout and comments, names numbered in order of appearance.

    A copy with another layout and other names has the same runs.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._index = _Index()
        self._shapes: set[int] = set()
        """Numbers for the runs of all references without their names: only such runs of a text are looked at."""

    def add(self, reference: int, code: str) -> bool:
        """Add a reference. Return True if it is long enough to be found."""
        found = python_tokens(canonical(code))
        if len(found) < self.size:
            return False
        self._shapes.update(self._shapes_of(found).tolist())
        self._index.add(reference, renamed_runs(found, self.size, range(len(found) - self.size + 1)))
        return True

    def best_match(self, code: str) -> Shared | None:
        """Return the reference of which the code contains the greatest share."""
        found = python_tokens(canonical(code))
        if len(found) < self.size:
            return None
        known = np.fromiter(self._shapes, dtype=np.uint64, count=len(self._shapes))
        starts = np.flatnonzero(np.isin(self._shapes_of(found), known)).tolist()
        return self._index.best_match(renamed_runs(found, self.size, starts))

    def _shapes_of(self, found: Sequence[str]) -> NDArray[np.uint64]:
        return windows([NAME if token.startswith(NAME) else token for token in found], self.size)


def _runs(found: Sequence[str], size: int) -> Iterable[tuple[str, ...]]:
    for start in range(len(found) - size + 1):
        run = tuple(found[start : start + size])
        if 2 * sum(not word.isdecimal() for word in run) >= size:
            yield run
