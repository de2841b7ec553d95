"""ROUGE-L between instructions: how much of two texts they share, in order."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

WORD = re.compile(r"\w+|[^\w\s]")
"""Signs are words too: in tasks about code they carry meaning."""


@dataclass(frozen=True)
class _Text:
    words: tuple[str, ...]
    counts: Counter[str]


class Pool:
    """Texts that new ones are compared with."""

    def __init__(self) -> None:
        self._texts: list[_Text] = []

    def add(self, text: str) -> None:
        """Add a text."""
        self._texts.append(_split(text))

    def near(self, text: str, limit: float) -> bool:
        """Return True if ROUGE-L (F measure) with a text of the pool is ``limit`` or more."""
        new = _split(text)
        return any(_reaches(new, old, limit) for old in self._texts)


def rouge_l(one: str, other: str) -> float:
    """Return ROUGE-L's F measure of two texts, 0 to 1 (Lin 2004, precision and recall with equal weight).

    2·LCS / (m + n) for texts of m and n words whose longest common subsequence has LCS words.

    >>> round(rouge_l("sort a list of numbers", "sort the numbers of a list"), 3)
    0.545
    """
    a, b = _split(one), _split(other)
    total = len(a.words) + len(b.words)
    return 2 * _common(a.words, b.words) / total if total else 0.0


def _split(text: str) -> _Text:
    words = tuple(WORD.findall(text.lower()))
    return _Text(words, Counter(words))


def _reaches(one: _Text, other: _Text, limit: float) -> bool:
    total = len(one.words) + len(other.words)
    if not total:
        return True
    # A common subsequence is never longer than the common words: this bound rules out most pairs cheaply.
    shared = sum(min(number, other.counts[word]) for word, number in one.counts.items())
    if 2 * shared < limit * total:
        return False
    return 2 * _common(one.words, other.words) >= limit * total


def _common(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """Return the length of the longest common subsequence, computed row by row."""
    row = [0] * (len(other) + 1)
    for word in one:
        before = 0
        for place, against in enumerate(other, 1):
            above = row[place]
            row[place] = before + 1 if word == against else max(above, row[place - 1])
            before = above
    return row[-1]
