"""How few characters must change to make an answer the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import mftkit
from mftkit_plugins.evaluators.comparable import ComparedText, reference_of, require_references
from mftkit_plugins.evaluators.distances import common_subsequence, levenshtein

if TYPE_CHECKING:
    from collections.abc import Sequence


class EditSimilarity(mftkit.Evaluator):
    """Similarity of an answer to the reference: 1 for equal texts, 0 for texts without a common character."""

    class Options(ComparedText):
        """How similarity is computed."""

        measure: Literal["levenshtein", "indel"] = "levenshtein"
        """"levenshtein": 1 - distance / characters of the longer text; "indel": 1 - insertions and deletions /
        characters of both texts, as CodeXGLUE's script prints it (fuzz.ratio), there in whole percent."""

    options: Options

    def metrics(self) -> tuple[mftkit.Metric, ...]:
        """The mean similarity."""
        return (mftkit.Metric("edit-similarity"),)

    def check(self, rows: Sequence[mftkit.EvaluationRow], context: mftkit.EvaluationContext) -> None:  # noqa: ARG002
        """Raise MftError for a row without a reference."""
        require_references(rows, "edit-similarity")

    def score(
        self,
        answered: Sequence[mftkit.Answered],
        context: mftkit.EvaluationContext,  # noqa: ARG002
    ) -> list[list[mftkit.Verdict]]:
        """Compare each answer with its row's reference."""
        return [
            [
                mftkit.Verdict({"edit-similarity": self._similarity(a.text, reference_of(row))})
                for a in row.answers
            ]
            for row in answered
        ]

    def _similarity(self, answer: str, reference: str) -> float:
        one, other = self.options.compared(answer), self.options.compared(reference)
        if not one and not other:
            return 1.0
        if self.options.measure == "levenshtein":
            return 1 - levenshtein(one, other) / max(len(one), len(other))
        return 2 * common_subsequence(one, other) / (len(one) + len(other))
