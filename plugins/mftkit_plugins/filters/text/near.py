"""Near duplicates: texts that share most of their runs of tokens, found with MinHash."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

import numpy as np

from mftkit_plugins.filters.text.optional_packages import require
from mftkit_plugins.filters.text.tokens import tokens, unique, windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

_RECALL = (0.1, 0.9)
"""Weights of false and missed candidates: every candidate is measured exactly, so a false one costs little."""
_HIGHEST = 0.95
"""Highest threshold for candidates: closer to 1 MinHash has no bands left."""


class MinHash(Protocol):
    """What is used of ``datasketch.MinHash``."""

    def copy(self) -> Self:
        """Copy it."""

    def update_batch(self, numbers: NDArray[np.uint64]) -> None:
        """Add numbers."""


class Match(NamedTuple):
    """An earlier text that is similar to this one."""

    key: int
    similarity: float
    """Jaccard similarity of the two sets of runs of tokens."""


class NearIndex:
    """Texts seen so far, searched for the one most similar to another text.

    Similarity is the share of runs of ``shingle`` tokens that two texts have in common, among all runs of either
    (Jaccard; Broder, "On the resemblance and containment of documents", 1997). Tokens leave out white space, so
    a reformatted copy is identical. MinHash with banding (datasketch) finds candidates; their similarity is then
    computed from the sets themselves, so the threshold is exact.
    """

    def __init__(self, threshold: float, shingle: int = 5, permutations: int = 128) -> None:
        datasketch = require("datasketch", "finding near duplicates")
        self._threshold = threshold
        self._shingle = shingle
        self._template = datasketch.MinHash(num_perm=permutations, seed=1, hashfunc=_identity)
        state = random.getstate()  # datasketch draws a name for its table: keep the caller's random numbers
        self._bands = datasketch.MinHashLSH(
            threshold=min(threshold, _HIGHEST), num_perm=permutations, weights=_RECALL
        )
        random.setstate(state)
        self._sets: dict[int, NDArray[np.uint64]] = {}

    def find_or_add(self, key: int, text: str) -> Match | None:
        """Return the most similar earlier text if it reaches the threshold; otherwise add ``text`` under ``key``.

        Texts without any token match nothing and are not added.
        """
        found = unique(windows(tokens(text), self._shingle))
        if not len(found):
            return None
        sketch = self._sketch(found)
        best = max(
            (Match(other, jaccard(found, self._sets[other])) for other in self._bands.query(sketch)),
            key=lambda match: (match.similarity, -match.key),
            default=None,
        )
        if best is not None and best.similarity >= self._threshold:
            return best
        self._bands.insert(key, sketch, check_duplication=False)
        self._sets[key] = found
        return None

    def _sketch(self, found: NDArray[np.uint64]) -> MinHash:
        sketch: MinHash = self._template.copy()
        sketch.update_batch(found & np.uint64(0xFFFFFFFF))
        return sketch


def jaccard(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> float:
    """Return the Jaccard similarity of two sorted sets."""
    common = len(np.intersect1d(one, other, assume_unique=True))
    return common / (len(one) + len(other) - common)


def _identity(value: int) -> int:
    return value
