"""Share of the answers that are the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mftkit
from mftkit_plugins.evaluators.comparable import ComparedText, reference_of, require_references

if TYPE_CHECKING:
    from collections.abc import Sequence


class ExactMatch(mftkit.Evaluator):
    """1 for an answer that is the reference, up to the differences that the options leave out, else 0."""

    Options = ComparedText
    options: ComparedText

    def metrics(self) -> tuple[mftkit.Metric, ...]:
        """The share of answers that match."""
        return (mftkit.Metric("exact-match"),)

    def check(self, rows: Sequence[mftkit.EvaluationRow], context: mftkit.EvaluationContext) -> None:  # noqa: ARG002
        """Raise MftError for a row without a reference."""
        require_references(rows, "exact-match")

    def score(
        self,
        answered: Sequence[mftkit.Answered],
        context: mftkit.EvaluationContext,  # noqa: ARG002
    ) -> list[list[mftkit.Verdict]]:
        """Compare each answer with its row's reference; an answer that was cut off is compared as it is."""
        return [self._row(each) for each in answered]

    def _row(self, answered: mftkit.Answered) -> list[mftkit.Verdict]:
        expected = self.options.compared(reference_of(answered))
        matches = [self.options.compared(answer.text) == expected for answer in answered.answers]
        return [mftkit.Verdict({"exact-match": float(same)}, passed=same) for same in matches]
