"""What a text shares with references: runs of words, and runs of code whatever its names are."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from mftkit.similarity.code import canonical
from mftkit.similarity.tokens import named_anew, python_tokens, words

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

SHORTEST = 8
"""Words of a reference that is shorter than a run, and is then looked for as a whole."""


class Shared(NamedTuple):
    """What a text has in common with the reference that it shares most with."""

    reference: int
    runs: int
    """Different runs of the reference that the text has."""
    share: float
    """Of all the different runs of the reference."""


class _Index:
    """Runs to the references that they are in."""

    def __init__(self) -> None:
        self._places: defaultdict[int, set[int]] = defaultdict(set)
        self._sizes: defaultdict[int, int] = defaultdict(int)

    def add(self, reference: int, runs: Iterable[Hashable]) -> None:
        for run in set(map(hash, runs)):
            if reference not in self._places[run]:
                self._places[run].add(reference)
                self._sizes[reference] += 1

    def most(self, runs: Iterable[Hashable]) -> Shared | None:
        """The reference of which the greatest share is there."""
        counts: defaultdict[int, int] = defaultdict(int)
        for run in set(map(hash, runs)):
            for reference in self._places.get(run, ()):
                counts[reference] += 1
        found = (Shared(key, count, count / self._sizes[key]) for key, count in counts.items())
        return max(found, key=lambda shared: (shared.share, shared.runs, -shared.reference), default=None)


class WordIndex:
    """Runs of ``size`` words. Half of a run's words must be other than numbers: counting is in no data set's keep."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._whole: set[int] = set()
        """Lengths of references that are shorter than a run."""
        self._index = _Index()

    def add(self, reference: int, text: str) -> bool:
        """Add a reference; whether it is long enough to be looked for."""
        found = words(text)
        size = self.size
        if SHORTEST <= len(found) < size:
            size = len(found)
            self._whole.add(size)
        runs = list(_runs(found, size)) if len(found) >= SHORTEST else []
        self._index.add(reference, runs)
        return bool(runs)

    def most(self, text: str) -> Shared | None:
        """The reference that the text shares most with."""
        found = words(text)
        return self._index.most(run for size in (self.size, *self._whole) for run in _runs(found, size))


class CodeIndex:
    """Runs of ``size`` tokens of Python code, without layout and comments, and with names in the order in which
    they come: a copy that is laid out and named anew has the same.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._index = _Index()

    def add(self, reference: int, code: str) -> bool:
        """Add a reference; whether it is long enough to be looked for."""
        found = python_tokens(canonical(code))
        self._index.add(reference, named_anew(found, self.size))
        return len(found) >= self.size

    def most(self, code: str) -> Shared | None:
        """The reference of which the code has the greatest share."""
        return self._index.most(named_anew(python_tokens(canonical(code)), self.size))


def _runs(found: Sequence[str], size: int) -> Iterable[tuple[str, ...]]:
    for start in range(len(found) - size + 1):
        run = tuple(found[start : start + size])
        if 2 * sum(not word.isdecimal() for word in run) >= size:
            yield run
