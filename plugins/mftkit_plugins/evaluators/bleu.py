"""BLEU, by sacrebleu."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from mftkit_plugins.evaluators.comparable import ComparedText
from mftkit_plugins.evaluators.corpus_scores import CorpusScore

if TYPE_CHECKING:
    from collections.abc import Sequence

ORDERS = 4


class BleuOptions(ComparedText):
    """How BLEU is computed."""

    tokenize: Literal["13a", "intl", "char", "zh", "none"] = "13a"
    """sacrebleu's tokenization: "13a" is that of WMT, "intl" splits at all punctuation of Unicode, "char" has a
    token per character, "zh" splits Chinese characters, "none" splits at white space only."""
    lowercase: bool = False
    """Ignore case."""


class Bleu(CorpusScore[BleuOptions]):
    """Corpus BLEU (Papineni et al., ACL 2002) with one reference, smoothing and tokens as sacrebleu has them."""

    Options = BleuOptions
    name = "bleu"

    @cached_property
    def _sentence(self) -> Any:
        from sacrebleu import BLEU

        options = self.options
        # Effective order spares sacrebleu's warning on sentences; the counts do not depend on it.
        return BLEU(tokenize=options.tokenize, lowercase=options.lowercase, effective_order=True)

    def counts(self, answer: str, reference: str) -> list[int]:
        """Return lengths of answer and reference, then matches and n-grams of each order."""
        found = self._sentence.sentence_score(answer, [reference])
        return [found.sys_len, found.ref_len, *found.counts, *found.totals]

    def of_counts(self, counts: Sequence[int], *, alone: bool) -> float:
        """Return BLEU in points."""
        from sacrebleu import BLEU

        matches, totals = list(counts[2 : 2 + ORDERS]), list(counts[2 + ORDERS :])
        score = BLEU.compute_bleu(
            matches, totals, counts[0], counts[1], smooth_method="exp", effective_order=alone
        )
        return float(score.score)
