"""Checks of every evaluator."""

from __future__ import annotations

import json
import math
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from mftkit.chat_client import open_chat
from mftkit.interfaces.evaluator import Answer, Answered, EvaluationContext, EvaluationRow, Verdict
from mftkit.plugins.executors import choose_executor
from mftkit.testing.assertions import require
from mftkit.testing.conformance import Conformance
from mftkit.testing.randomness import assert_rng_untouched, seeded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def some_rows() -> list[EvaluationRow]:
    """Rows with questions and references; each holds a function, its tests, and what several benchmarks call them."""
    rows = []
    for number in range(6):
        code = f"def f(x):\n    return x + {number}\n"
        question = f"Write a function f that adds {number} to a number."
        asserts = [f"    assert candidate({x}) == {x + number}\n" for x in (1, 5)]
        tests = "def check(candidate):\n" + "".join(asserts)
        row: dict[str, Any] = {"task_id": f"row/{number}", "instruction": question, "output": code}
        row |= {"prompt": "def f(x):\n", "test": tests, "tests": tests, "entry_point": "f"}
        rows.append(EvaluationRow(f"row/{number}", row, code, question, f"rows.jsonl:{number + 1}"))
    return rows


class EvaluatorConformance(Conformance):
    """Checks of ``mftkit.Evaluator`` on a few rows, with right, wrong and cut-off answers."""

    given: ClassVar[Sequence[EvaluationRow]] = tuple(some_rows())
    """The rows; a suite for an evaluator of other rows replaces them."""
    wrong: ClassVar[str] = "def f(x):\n    return None\n"
    """An answer that is wrong for each of the rows."""

    @contextmanager
    def context(self) -> Iterator[EvaluationContext]:
        """Provide the context of an evaluation with an empty directory."""
        with tempfile.TemporaryDirectory() as made:
            directory = Path(made)
            yield EvaluationContext(
                task="tried",
                seed=7,
                directory=directory / "own",
                note=lambda _message: None,
                chat=lambda ref: open_chat(ref, directory / "replies"),
                executor=lambda ref: choose_executor(ref, lambda _message: None),
            )

    def right(self, row: EvaluationRow) -> str:
        """A right answer to a row; by default its reference."""
        return row.reference or ""

    def answered(self, *, right: bool, samples: int = 1) -> list[Answered]:
        """The rows with answers, or with losses for an evaluator that reads these."""
        if self.component.reads == "losses":
            return [Answered(row, (), 3.0 if right else 9.0, 5) for row in self.given]
        texts = [self.right(row) if right else self.wrong for row in self.given]
        return [
            Answered(row, (Answer(text, True, 9),) * samples)
            for row, text in zip(self.given, texts, strict=True)
        ]

    def scored(self, answered: Sequence[Answered]) -> list[list[Verdict]]:
        """The verdicts of a new evaluator, after its check."""
        with self.context() as context:
            evaluator = self.make()
            evaluator.check(self.given, context)
            return [list(row) for row in evaluator.score(answered, context)]

    def summary(self, verdicts: Sequence[Sequence[Verdict]]) -> dict[str, float]:
        """The metrics of verdicts."""
        found: dict[str, float] = self.make().summary(verdicts)
        return found

    def test_metrics_are_named(self) -> None:
        """It has metrics, with different names."""
        names = [metric.name for metric in self.make().metrics()]
        require(bool(names), "metrics() is empty: name at least one")
        require(len(set(names)) == len(names), f"metrics() names one twice: {names}")

    def test_one_verdict_for_each_answer(self) -> None:
        """It returns one verdict for each answer of each row, with finite scores, that JSON can hold."""
        samples = 1 if self.component.reads == "losses" else 3
        names = {metric.name for metric in self.make().metrics()}
        for row in self.scored(self.answered(right=True, samples=samples)):
            require(len(row) == samples, f"{len(row)} verdicts for {samples} answers of a row")
            for verdict in row:
                finite = all(math.isfinite(score) for score in verdict.scores.values())
                require(finite, f"a score is not finite: {dict(verdict.scores)}")
                unknown = verdict.scores.keys() - names
                require(not unknown, f"scores of metrics that metrics() does not name: {sorted(unknown)}")
                json.dumps(verdict.more, allow_nan=False)

    def test_right_answers_are_better(self) -> None:
        """By its first metric, right answers are better than wrong ones."""
        main = self.make().metrics()[0]
        right, wrong = (
            self.summary(self.scored(self.answered(right=each)))[main.name] for each in (True, False)
        )
        better = right > wrong if main.higher_is_better else right < wrong
        require(better, f"{main.name} is {right:g} for right answers and {wrong:g} for wrong ones")

    def test_the_summary_has_every_metric(self) -> None:
        """``summary`` has each metric, also of rows that are drawn twice, and of a single row."""
        verdicts = self.scored(self.answered(right=True))
        names = {metric.name for metric in self.make().metrics()}
        for rows in (verdicts, [verdicts[0], verdicts[0]], verdicts[:1]):
            found = self.summary(rows)
            require(names <= found.keys(), f"summary() lacks {sorted(names - found.keys())}")
            require(all(math.isfinite(found[name]) for name in names), f"summary() is not finite: {found}")

    def test_verdicts_repeat(self) -> None:
        """Equal answers get equal verdicts, and no global random generator is used."""
        answered = self.answered(right=True)
        with seeded(1), assert_rng_untouched("score()"):
            self.scored(answered)
        require(
            self.scored(answered) == self.scored(answered), "the verdicts differ from one call to the next"
        )
