"""Pairwise verdicts of a chat model, in both orders."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from pydantic import Field

import mftkit
from mftkit_plugins.evaluators.comparable import require_references
from mftkit_plugins.evaluators.judge_prompts import pair_prompt, read_choice
from mftkit_plugins.evaluators.other_answers import read_answers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mftkit_plugins.evaluators.judge_prompts import Choice

Outcome = Literal["win", "tie", "loss", "unusable"]
OUTCOMES: tuple[Outcome, ...] = ("win", "tie", "loss", "unusable")


@dataclass(frozen=True)
class _Comparison:
    """An answer against the other one."""

    row: mftkit.EvaluationRow
    answer: str
    number: int
    """Of the answer among the row's."""
    other: str


class Judge(mftkit.Evaluator):
    """Compares each answer with another one by a chat model, as in the paper's Table 4 (arXiv 2311.02303).

    Every pair is judged twice, with the positions swapped, since judges prefer positions (arXiv 2306.05685, section
    3.4). Only if both verdicts name the same answer does it win; else it is a tie.
    """

    class Options(mftkit.Options):
        """Who judges, and against what."""

        model: mftkit.ChatModelRef
        """The chat model that judges: its name, or {"name": ..., "options": {...}}."""
        against: mftkit.SpecPath | None = None
        """A file TASK.jsonl that ``mft evaluate`` or a run wrote: answers of another model to the same rows. Null: the
        rows' own answers."""
        tries: int = Field(default=2, ge=1)
        """Most times that a question is sent, if a reply names no verdict."""

    options: Options

    def metrics(self) -> tuple[mftkit.Metric, ...]:
        """Shares of comparisons won, tied, lost, and without a usable reply; their sum is 1."""
        return (
            mftkit.Metric("win-rate"),
            mftkit.Metric("tie-rate"),
            mftkit.Metric("loss-rate", higher_is_better=False),
            mftkit.Metric("unusable-rate", higher_is_better=False),
        )

    @cached_property
    def _others(self) -> dict[str, str] | None:
        return None if self.options.against is None else read_answers(self.options.against)

    def check(self, rows: Sequence[mftkit.EvaluationRow], context: mftkit.EvaluationContext) -> None:  # noqa: ARG002
        """Raise MftError for a row without anything to compare with, or without a question."""
        silent = [row.source or row.id for row in rows if not row.question.strip()]
        if silent:
            raise mftkit.MftError(
                f"judge: {silent[0]} has no question, which a judge needs ({len(silent)} such rows); give it a prompt"
            )
        if self._others is None:
            require_references(rows, "judge")
            return
        missing = [row.source or row.id for row in rows if row.id not in self._others]
        if missing:
            raise mftkit.MftError(
                f"judge: {self.options.against} has no answer to {missing[0]} ({len(missing)} such rows); evaluate the "
                "other model on the same rows"
            )

    def score(
        self, answered: Sequence[mftkit.Answered], context: mftkit.EvaluationContext
    ) -> list[list[mftkit.Verdict]]:
        """Ask about each answer in both orders. Raises ChatError if the model fails or the budget is spent."""
        pairs = [
            _Comparison(each.row, answer.text, number, self._other(each.row))
            for each in answered
            for number, answer in enumerate(each.answers)
        ]
        with context.chat(self.options.model) as chat:
            choices = self._choices(pairs, chat)
        bad = sum(choice is None for both in choices for choice in both)
        if bad:
            context.note(
                f"judge: {context.task}: {bad} of {2 * len(pairs)} replies named no verdict, even when asked again; "
                "their comparisons count as unusable"
            )
        verdicts = iter([_verdict(*both) for both in choices])
        return [[next(verdicts) for _answer in each.answers] for each in answered]

    def _other(self, row: mftkit.EvaluationRow) -> str:
        if self._others is not None:
            return self._others[row.id]
        assert row.reference is not None, "check() refuses rows without a reference"
        return row.reference

    def _choices(
        self, pairs: Sequence[_Comparison], chat: mftkit.Chat
    ) -> list[tuple[Choice | None, Choice | None]]:
        """The verdicts on each pair: the answer shown first, then shown second."""
        left = {(index, swapped): pair for index, pair in enumerate(pairs) for swapped in (False, True)}
        found: dict[tuple[int, bool], Choice] = {}
        for attempt in range(self.options.tries):
            requests = [_request(pair, swapped, attempt) for (_, swapped), pair in left.items()]
            for place, reply in zip(list(left), chat.ask_all(requests), strict=True):
                choice = read_choice(reply.text) if reply.complete else None
                if choice is not None:
                    found[place] = choice
                    del left[place]
        return [(found.get((index, False)), found.get((index, True))) for index in range(len(pairs))]


def _request(pair: _Comparison, swapped: bool, attempt: int) -> mftkit.ChatRequest:
    first, second = (pair.other, pair.answer) if swapped else (pair.answer, pair.other)
    key = f"{pair.row.id} answer {pair.number} {'swapped' if swapped else 'straight'} try {attempt}"
    return mftkit.ChatRequest.of(pair_prompt(pair.row.question, first, second, key), key)


def _verdict(straight: Choice | None, swapped: Choice | None) -> mftkit.Verdict:
    if straight is None or swapped is None:
        outcome: Outcome = "unusable"
    elif (straight, swapped) == ("first", "second"):
        outcome = "win"
    elif (straight, swapped) == ("second", "first"):
        outcome = "loss"
    else:
        outcome = "tie"
    return mftkit.Verdict(
        {f"{name}-rate": float(name == outcome) for name in OUTCOMES},
        note="" if outcome != "unusable" else "a reply names no verdict",
        more={"outcome": outcome, "shown_first": straight, "shown_second": swapped},
    )
