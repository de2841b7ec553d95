"""BLEU of a text against many references, computed only for those that can reach the threshold."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from itertools import pairwise
from typing import NamedTuple

from mftkit_plugins.filters.text.optional_packages import require

SHORTEST = 6
"""Tokens that a text or a reference needs to be compared: shorter ones are similar by chance."""
Pair = tuple[str, str]


class Likest(NamedTuple):
    """The reference that is most similar to a text."""

    reference: int
    bleu: float
    """From 0 to 1."""


class BleuIndex:
    """References, searched for the one most similar to a text by BLEU (sacrebleu's, sentence level).

    A reference can reach the threshold only if it shares enough pairs of tokens with the text: with m pairs in
    common, and c tokens in the text, the precisions of order 2, 3 and 4 are at most m/(c-1), m/(c-2) and
    m/(c-3), because no longer run is matched more often than the pairs in it, and sacrebleu's smoothing of a
    precision without a match is below that bound too. All other references are skipped, so the result is exact.
    """

    def __init__(self, threshold: float) -> None:
        metrics = require("sacrebleu", "comparing texts by BLEU")
        self._metric = metrics.BLEU(effective_order=True)
        self._tokenize = self._metric.tokenizer
        self._threshold = threshold
        self._texts: list[tuple[int, str, int]] = []
        """(reference, text, number of tokens)."""
        self._pairs: defaultdict[Pair, list[tuple[int, int]]] = defaultdict(list)
        """For each pair of tokens: (index of a text, how often it has the pair)."""

    def add(self, reference: int, text: str) -> bool:
        """Add a text of a reference (which may have several). Return True if it is long enough to be compared."""
        found = self._tokens(text)
        if len(found) < SHORTEST:
            return False
        index = len(self._texts)
        self._texts.append((reference, text, len(found)))
        for pair, count in Counter(pairwise(found)).items():
            self._pairs[pair].append((index, count))
        return True

    def likest(self, text: str) -> Likest | None:
        """Return the reference with the highest BLEU, or None if no BLEU exceeds the threshold."""
        found = self._tokens(text)
        best: Likest | None = None
        for index in self._candidates(found):
            reference, other, _ = self._texts[index]
            score = self._metric.sentence_score(text, [other]).score / 100
            if score > self._threshold and (best is None or score > best.bleu):
                best = Likest(reference, score)
        return best

    def _tokens(self, text: str) -> list[str]:
        found: list[str] = self._tokenize(text.rstrip()).split()
        return found

    def _candidates(self, found: list[str]) -> list[int]:
        length = len(found)
        if length < SHORTEST:
            return []
        common: Counter[int] = Counter()
        for pair, count in Counter(pairwise(found)).items():
            for index, other in self._pairs.get(pair, ()):
                common[index] += min(count, other)
        orders = (length - 1, length - 2, length - 3)
        chosen = []
        for index, number in common.items():
            brevity = min(0.0, 1 - self._texts[index][2] / length)
            bound = brevity + sum(math.log(min(1.0, number / order)) for order in orders) / 4
            if bound > math.log(self._threshold) if self._threshold > 0 else True:
                chosen.append(index)
        return sorted(chosen)
