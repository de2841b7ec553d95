"""BLEU of a text against many references, computed only where it can reach the threshold."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from itertools import pairwise
from typing import NamedTuple

from mftkit.similarity.extra import needed

SHORTEST = 6
"""Tokens of a text or a reference that is compared: shorter ones are alike by chance."""
Pair = tuple[str, str]


class Likest(NamedTuple):
    """The reference that a text is most like."""

    reference: int
    bleu: float
    """From 0 to 1."""


class BleuIndex:
    """References, to be asked for the one that a text is most like by BLEU (sacrebleu's, sentence level).

    A reference can reach the threshold only where it shares enough pairs of tokens with the text: with m pairs
    in common, and c tokens in the text, the precisions of order 2, 3 and 4 are at most m/(c-1), m/(c-2) and
    m/(c-3), as no longer run is matched more often than the pairs in it, and sacrebleu's smoothing of a
    precision without a match is below that too. So all others are left out, exactly.
    """

    def __init__(self, threshold: float) -> None:
        metrics = needed("sacrebleu", "comparing texts by BLEU")
        self._metric = metrics.BLEU(effective_order=True)
        self._tokenise = self._metric.tokenizer
        self._threshold = threshold
        self._texts: list[tuple[int, str, int]] = []
        """(reference, text, number of tokens)."""
        self._pairs: defaultdict[Pair, list[tuple[int, int]]] = defaultdict(list)
        """A pair to (index of a text, how often it has the pair)."""

    def add(self, reference: int, text: str) -> bool:
        """Add a reference, which may have several texts; whether this one is long enough to be compared."""
        found = self._tokens(text)
        if len(found) < SHORTEST:
            return False
        index = len(self._texts)
        self._texts.append((reference, text, len(found)))
        for pair, count in Counter(pairwise(found)).items():
            self._pairs[pair].append((index, count))
        return True

    def likest(self, text: str) -> Likest | None:
        """The reference of the highest BLEU, where that is over the threshold."""
        found = self._tokens(text)
        best: Likest | None = None
        for index in self._candidates(found):
            reference, other, _ = self._texts[index]
            score = self._metric.sentence_score(text, [other]).score / 100
            if score > self._threshold and (best is None or score > best.bleu):
                best = Likest(reference, score)
        return best

    def _tokens(self, text: str) -> list[str]:
        found: list[str] = self._tokenise(text.rstrip()).split()
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
