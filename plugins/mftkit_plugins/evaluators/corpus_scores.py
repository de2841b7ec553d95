"""Scores of a whole corpus, computed from counts per answer."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Generic

from typing_extensions import TypeVar

import mftkit
from mftkit_plugins.evaluators.comparable import ComparedText, reference_of, require_references

if TYPE_CHECKING:
    from collections.abc import Sequence

OptionsT = TypeVar("OptionsT", bound=ComparedText, default=ComparedText)


class CorpusScore(mftkit.Evaluator[OptionsT], Generic[OptionsT]):
    """A score from 0 to 100 points that is a function of sums over answers, and no mean over them.

    Every verdict carries its counts, so that the score of any selection of rows, as for confidence intervals, is
    exactly the score of that corpus. The verdict's own score is that of the answer alone, for reading.
    """

    packages: ClassVar[dict[str, str]] = {"sacrebleu": "mftkit[eval]"}
    name: ClassVar[str]

    @abstractmethod
    def counts(self, answer: str, reference: str) -> list[int]:
        """Return the counts of one answer."""

    @abstractmethod
    def of_counts(self, counts: Sequence[int], *, alone: bool) -> float:
        """Return the score of summed counts; ``alone``: of a single answer, as sacrebleu scores sentences."""

    def metrics(self) -> tuple[mftkit.Metric, ...]:
        """The corpus' score."""
        return (mftkit.Metric(self.name, scale="points"),)

    def check(self, rows: Sequence[mftkit.EvaluationRow], context: mftkit.EvaluationContext) -> None:  # noqa: ARG002
        """Raise MftError for a row without a reference, or without sacrebleu."""
        require_references(rows, self.name)
        try:
            import sacrebleu  # noqa: F401
        except ModuleNotFoundError:
            raise mftkit.MftError(
                f"{self.name} needs the package sacrebleu, which is not installed: pip install 'mftkit[eval]'"
            ) from None

    def score(
        self,
        answered: Sequence[mftkit.Answered],
        context: mftkit.EvaluationContext,  # noqa: ARG002
    ) -> list[list[mftkit.Verdict]]:
        """Compare each answer with its row's reference."""
        return [[self._verdict(answer.text, reference_of(row)) for answer in row.answers] for row in answered]

    def _verdict(self, answer: str, reference: str) -> mftkit.Verdict:
        counts = self.counts(self.options.compared(answer), self.options.compared(reference))
        return mftkit.Verdict({self.name: self.of_counts(counts, alone=True)}, more={"counts": counts})

    def summary(self, verdicts: Sequence[Sequence[mftkit.Verdict]]) -> dict[str, float]:
        """Return the score of all answers to the rows as one corpus."""
        every = [verdict.more["counts"] for row in verdicts for verdict in row]
        return {self.name: self.of_counts([sum(column) for column in zip(*every, strict=True)], alone=False)}
