"""Near duplicates: texts that share most of their runs of tokens, found with MinHash."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mftkit.similarity.extra import needed
from mftkit.similarity.tokens import tokens, unique, windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

_RECALL = (0.1, 0.9)
"""Weights of false and of missed candidates: each candidate is measured, so that a false one costs little."""
_HIGHEST = 0.95
"""Threshold of candidates: nearer to 1 there are no bands."""


class Match(NamedTuple):
    """An earlier text that is like this one."""

    key: int
    similarity: float
    """Jaccard similarity of the two sets of runs of tokens."""


class NearIndex:
    """Texts seen so far, to be asked for the one most like another.

    Similarity is the share that two texts have in common of all the runs of ``shingle`` tokens of either
    (Jaccard; Broder, "On the resemblance and containment of documents", 1997). Tokens leave out space, so that
    a copy laid out anew is the same. MinHash with banding (datasketch) finds candidates; their similarity is
    then computed from the sets themselves, so that the threshold means what it says.
    """

    def __init__(self, threshold: float, shingle: int = 5, permutations: int = 128) -> None:
        datasketch = needed("datasketch", "finding near duplicates")
        self._threshold = threshold
        self._shingle = shingle
        self._template = datasketch.MinHash(num_perm=permutations, seed=1, hashfunc=_as_it_is)
        state = random.getstate()  # datasketch draws a name for its table, which is of no use to us
        self._bands = datasketch.MinHashLSH(
            threshold=min(threshold, _HIGHEST), num_perm=permutations, weights=_RECALL
        )
        random.setstate(state)
        self._sets: dict[int, NDArray[np.uint64]] = {}

    def find_or_add(self, key: int, text: str) -> Match | None:
        """The text added before that is most like ``text``, if one is as like as the threshold; else ``text`` is
        added under ``key``. Texts without any token are like none, and not added.
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

    def _sketch(self, found: NDArray[np.uint64]) -> Any:
        sketch = self._template.copy()
        sketch.update_batch(found & np.uint64(0xFFFFFFFF))
        return sketch


def jaccard(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> float:
    """Share in common of two sorted sets."""
    common = len(np.intersect1d(one, other, assume_unique=True))
    return common / (len(one) + len(other) - common)


def _as_it_is(value: Any) -> Any:
    return value
