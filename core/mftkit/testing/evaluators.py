"""Checks of every evaluator."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from mftkit.chat_client import open_chat
from mftkit.interfaces.evaluator import (
    Answer,
    Answered,
    EvaluationContext,
    EvaluationPrompt,
    EvaluationRow,
    Metric,
    Verdict,
)
from mftkit.plugins.executors import choose_executor
from mftkit.testing.assertions import require
from mftkit.testing.conformance import Conformance
from mftkit.testing.randomness import assert_rng_untouched, seeded

if TYPE_CHECKING:
    from collections.abc import Sequence


def some_answered() -> list[Answered]:
    """Return rows with right, wrong, empty and cut off answers, and with losses."""
    found = []
    for number in range(6):
        question = f"Write a function f that adds {number} to a number."
        code = f"def f(x):\n    return x + {number}\n"
        raw = {
            "id": f"row-{number}",
            "prompt": question,
            "answer": code,
            "tests": f"assert f(1) == {1 + number}",
        }
        row = EvaluationRow(f"row-{number}", raw, code, question, f"data.jsonl:{number + 1}")
        other = ("It is this:\n```python\n" + code + "```", "", "def f(x):\n    return", "é 🙂\n")[number % 4]
        answers = (Answer(code, tokens=12), Answer(other, complete=number % 4 != 2, tokens=9))
        found.append(Answered(row, answers, nll=1.5 + number, loss_tokens=3 * number + 1))
    return found


class EvaluatorConformance(Conformance):
    """Checks of ``mftkit.Evaluator`` on a few rows, each with two answers and a loss."""

    given: ClassVar[Sequence[Answered]] = tuple(some_answered())
    """Rows with answers and losses."""
    seed: ClassVar[int] = 7

    def context(self, directory: Path) -> EvaluationContext:
        """Return the context that is passed to the evaluator."""
        return EvaluationContext(
            task=self.tasks[0].name,
            seed=self.seed,
            directory=directory,
            note=lambda message: require(isinstance(message, str), "a note is not a string"),
            chat=lambda ref: open_chat(ref, directory),
            executor=lambda ref: choose_executor(ref, lambda _line: None),
            samples=len(self.given[0].answers),
        )

    def verdicts(self, given: Sequence[Answered] | None = None) -> list[list[Verdict]]:
        """Return the verdicts of a new evaluator, after its check of the rows."""
        given = self.given if given is None else given
        with tempfile.TemporaryDirectory() as directory:
            evaluator, context = self.make(), self.context(Path(directory))
            evaluator.check([each.row for each in given], context)
            return [list(row) for row in evaluator.score(given, context)]

    def test_its_metrics(self) -> None:
        """It has at least one metric; names are unique."""
        metrics = list(self.make().metrics())
        require(bool(metrics), "metrics() is empty")
        require(all(isinstance(each, Metric) for each in metrics), "metrics() must return mftkit.Metric")
        names = [each.name for each in metrics]
        require(len(set(names)) == len(names), f"a metric's name occurs twice: {', '.join(names)}")

    def test_its_prompts(self) -> None:
        """A prompt is None, a conversation or a text; it depends on the row alone."""
        with tempfile.TemporaryDirectory() as directory:
            evaluator, context = self.make(), self.context(Path(directory))
            for each in self.given if evaluator.reads == "answers" else ():
                prompt = evaluator.prompt(each.row, context)
                require(prompt is None or isinstance(prompt, EvaluationPrompt), f"{prompt!r} is no prompt")
                require(prompt == evaluator.prompt(each.row, context), "a row's prompt changes")
                if prompt is not None:
                    both = (prompt.conversation is None) == (prompt.text is None)
                    require(not both, "a prompt must have either a conversation or a text")

    def test_a_verdict_for_each_answer(self) -> None:
        """One verdict for each answer, or for each row's loss; scores are finite, and of known metrics."""
        reads, names = self.component.reads, {each.name for each in self.make().metrics()}
        verdicts = self.verdicts()
        expected = [len(each.answers) if reads == "answers" else 1 for each in self.given]
        require([len(row) for row in verdicts] == expected, "score() must return a verdict for each answer")
        for verdict in (verdict for row in verdicts for verdict in row):
            odd = sorted(verdict.scores.keys() - names)
            require(not odd, f"a verdict has scores of unknown metrics: {', '.join(odd)}")
            require(all(map(math.isfinite, verdict.scores.values())), "a score is not finite")
            require(json.loads(json.dumps(verdict.more)) == verdict.more, "more changes when written as JSON")

    def test_its_summary(self) -> None:
        """The summary has every metric, finite, also for rows that are drawn again."""
        evaluator, verdicts = self.make(), self.verdicts()
        names = {each.name for each in evaluator.metrics()}
        for rows in (verdicts, verdicts[:1], [verdicts[1], *verdicts[1:4]]):
            found = evaluator.summary(rows)
            require(found.keys() == names, f"summary() has {sorted(found)}, metrics() {sorted(names)}")
            require(all(map(math.isfinite, found.values())), f"summary() is not finite: {found}")

    def test_verdicts_are_the_same_every_time(self) -> None:
        """Verdicts do not depend on the global random state, nor on which rows are scored together."""
        made = []
        for state in (0, 1):
            with seeded(state), assert_rng_untouched("the evaluator"):
                made.append(self.verdicts())
        require(made[0] == made[1], "the same answers got different verdicts the second time")
        parts = self.verdicts(self.given[:2]) + self.verdicts(self.given[2:])
        require(parts == made[0], "verdicts depend on the other rows that are scored with them")
