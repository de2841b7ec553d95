"""chrF and chrF++, with sacrebleu's n-grams."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from pydantic import Field

from mftkit_plugins.evaluators.comparable import ComparedText
from mftkit_plugins.evaluators.corpus_scores import CorpusScore

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


class ChrfOptions(ComparedText):
    """How chrF is computed."""

    char_order: int = Field(default=6, ge=1)
    """Longest n-grams of characters."""
    word_order: int = Field(default=0, ge=0)
    """Longest n-grams of words; 2 is chrF++."""
    beta: int = Field(default=2, ge=1)
    """How many times as much recall counts as precision."""
    lowercase: bool = False
    """Ignore case."""


class Chrf(CorpusScore[ChrfOptions]):
    """Corpus chrF (Popovic, WMT 2015): F score over n-grams of characters, without white space."""

    Options = ChrfOptions
    name = "chrf"

    def counts(self, answer: str, reference: str) -> list[int]:
        """Return for each order the n-grams of the answer, of the reference, and of both."""
        found: list[int] = []
        for ours, theirs in zip(self._grams(answer), self._grams(reference), strict=True):
            # As sacrebleu: an order that the reference is too short for is left out.
            found += [ours.total() if theirs else 0, theirs.total(), (ours & theirs).total()]
        return found

    def _grams(self, text: str) -> list[Counter[str]]:
        from sacrebleu.metrics.helpers import extract_all_char_ngrams, extract_word_ngrams

        options = self.options
        text = text.lower() if options.lowercase else text
        text = text.rstrip()
        words = list(chain.from_iterable(map(_without_punctuation, text.split())))
        orders = range(1, options.word_order + 1)
        return [
            *extract_all_char_ngrams(text, options.char_order),
            *(extract_word_ngrams(words, order) for order in orders),
        ]

    def of_counts(self, counts: Sequence[int], *, alone: bool) -> float:  # noqa: ARG002 - the same formula
        """Return F in points: of the mean precision and recall over the orders that both texts reach."""
        triples = [counts[i : i + 3] for i in range(0, len(counts), 3)]
        reached = [(both / ours, both / theirs) for ours, theirs, both in triples if ours and theirs]
        if not reached:
            return 0.0
        precision, recall = (sum(column) / len(reached) for column in zip(*reached, strict=True))
        factor = self.options.beta**2
        if not precision + recall:
            return 0.0
        return float(100 * (1 + factor) * precision * recall / (factor * precision + recall))


def _without_punctuation(word: str) -> list[str]:
    """Split one mark off a word's end, else off its start, as chrF++ does."""
    if len(word) > 1 and word[-1] in _PUNCTUATION:
        return [word[:-1], word[-1]]
    if len(word) > 1 and word[0] in _PUNCTUATION:
        return [word[0], word[1:]]
    return [word]
