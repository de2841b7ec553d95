"""Negative log-likelihood of the data, per loss token."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

import mftkit

if TYPE_CHECKING:
    from collections.abc import Sequence

HIGHEST = 700.0
"""Nats whose exponential is still a finite float."""


class Loss(mftkit.Evaluator):
    """Mean of -log p over all loss tokens of the task, in nats, and its exponential, the perplexity.

    Long rows count by their tokens. It is cross-entropy whatever loss the run trains with, so that runs with different
    losses can be compared, and it reads any data: also that of a task without training rows, which shows forgetting.
    """

    reads: ClassVar[Literal["answers", "losses"]] = "losses"

    def metrics(self) -> tuple[mftkit.Metric, ...]:
        """Nats per loss token, and perplexity."""
        return (
            mftkit.Metric("loss", higher_is_better=False, scale="nats"),
            mftkit.Metric("perplexity", higher_is_better=False, scale="points"),
        )

    def score(
        self,
        answered: Sequence[mftkit.Answered],
        context: mftkit.EvaluationContext,  # noqa: ARG002
    ) -> list[list[mftkit.Verdict]]:
        """Return one verdict per row. Raises MftError for a row without loss tokens."""
        return [[_verdict(each)] for each in answered]

    def summary(self, verdicts: Sequence[Sequence[mftkit.Verdict]]) -> dict[str, float]:
        """Sum of -log p over the sum of loss tokens, and its exponential."""
        every = [verdict.more for row in verdicts for verdict in row]
        loss = sum(more["nll"] for more in every) / sum(more["loss_tokens"] for more in every)
        return {"loss": loss, "perplexity": math.exp(min(loss, HIGHEST))}


def _verdict(answered: mftkit.Answered) -> mftkit.Verdict:
    if not answered.loss_tokens:
        raise mftkit.MftError(
            f"loss: {answered.row.source or answered.row.id} has no loss token; remove the row, or raise max_length if "
            "its answer is cut off"
        )
    loss = answered.nll / answered.loss_tokens
    scores = {"loss": loss, "perplexity": math.exp(min(loss, HIGHEST))}
    return mftkit.Verdict(scores, more={"nll": answered.nll, "loss_tokens": answered.loss_tokens})
