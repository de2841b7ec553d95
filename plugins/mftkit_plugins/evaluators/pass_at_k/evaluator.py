"""The evaluator ``pass-at-k``: the share of programming problems that are solved within k answers."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

import mftkit
from mftkit_plugins.evaluators.execution.sandbox import SandboxOptions, judged, place
from mftkit_plugins.evaluators.pass_at_k.estimator import pass_at_k
from mftkit_plugins.evaluators.pass_at_k.evalplus import EvalPlus
from mftkit_plugins.evaluators.pass_at_k.humaneval import HumanEval, Rows
from mftkit_plugins.evaluators.pass_at_k.humaneval_x import HumanEvalX
from mftkit_plugins.evaluators.pass_at_k.mbpp import Mbpp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mftkit_plugins.evaluators.pass_at_k.forms import Ask, Form


class PassAtK(mftkit.Evaluator):
    """Runs each answer with its problem's tests in an executor; pass@k by the unbiased estimator.

    An answer passes if all tests pass and every assertion was run. Problems of HumanEval, MBPP and others are
    recognised by the keys of their rows.
    """

    class Options(SandboxOptions):
        """What is measured, and how."""

        k: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(1,), min_length=1)
        """The k of each metric pass@k; at most the answers per row, "samples"."""
        ask: Literal["chat", "completion"] | None = None
        """"chat": the model is asked in a conversation and answers with a block of code; "completion": it continues the
        problem's text. Null: a conversation if the model has a chat template."""
        challenge: bool = False
        """Run the challenge tests of MBPP, too."""
        plus: bool = False
        """Also measure with the additional inputs of EvalPlus, ``plus_input``, as "pass@k+"; its rows only."""

    options: Options

    @cached_property
    def _forms(self) -> tuple[Form, ...]:
        options = self.options
        evalplus = EvalPlus(options.plus)
        # Rows of EvalPlus may have "test" and "test_list", too.
        every = (evalplus, HumanEvalX(), HumanEval(), Mbpp(options.challenge), Rows())
        return (evalplus,) if options.plus else every

    def metrics(self) -> tuple[mftkit.Metric, ...]:
        """Each pass@k, and with the option plus each pass@k+."""
        return tuple(mftkit.Metric(name) for name in self._named({}))

    def _named(self, found: dict[str, Sequence[tuple[int, int]]]) -> dict[str, float]:
        """Return the metrics of counts of answers and right ones, by the end of the metric's name."""
        ends = ("", "+") if self.options.plus else ("",)
        return {
            f"pass@{k}{end}": fmean(pass_at_k(n, right, k) for n, right in found[end]) if found else 0.0
            for end in ends
            for k in self.options.k
        }

    def check(self, rows: Sequence[mftkit.EvaluationRow], context: mftkit.EvaluationContext) -> None:
        """Raise MftError for too few samples, rows that are no problems, and executors that cannot be used."""
        most = max(self.options.k)
        if most > context.samples:
            raise mftkit.MftError(
                f"pass-at-k: pass@{most} needs at least {most} answers per row, but samples is {context.samples}; set "
                f'"samples": {most} in the section evaluate of task {context.task}'
            )
        first, form = rows[0], self._form(rows[0])
        for row in rows:
            other = self._form(row)
            if other is not form:
                raise mftkit.MftError(
                    f"pass-at-k: {place(row)} has the form {other.name}, but {place(first)} the form {form.name}; "
                    "evaluate them as two tasks"
                )
        form.check(rows, self.options.sandbox(context))

    def _form(self, row: mftkit.EvaluationRow) -> Form:
        for form in self._forms:
            if all(mark in row.row for mark in form.marks):
                return form
        known = "; ".join(f"{form.name}: {', '.join(form.marks)}" for form in self._forms)
        raise mftkit.MftError(
            f"pass-at-k: {place(row)} is no problem of a known form: it lacks the keys of each ({known}); add what is "
            "missing, or rename columns with the task's key columns"
        )

    def _ask(self, context: mftkit.EvaluationContext) -> Ask:
        return self.options.ask or ("chat" if context.has_chat_template else "completion")

    def prompt(
        self, row: mftkit.EvaluationRow, context: mftkit.EvaluationContext
    ) -> mftkit.EvaluationPrompt | None:
        """Return the question or the text of the problem, as its form has it."""
        return self._form(row).prompt(row, self._ask(context))

    def score(
        self, answered: Sequence[mftkit.Answered], context: mftkit.EvaluationContext
    ) -> list[list[mftkit.Verdict]]:
        """Run each answer."""
        ask, sandbox = self._ask(context), self.options.sandbox(context)

        def verdict(row: mftkit.EvaluationRow, answer: str) -> mftkit.Verdict:
            found = self._form(row).verdict(row, answer, ask, sandbox)
            # The share of right answers is pass@1, so it is a score of each answer.
            shares = {name: self._alone(name, found) for name in names if name in ("pass@1", "pass@1+")}
            return replace(found, scores=shares)

        names = self._named({})
        return judged(answered, sandbox, verdict)

    def _alone(self, name: str, found: mftkit.Verdict) -> float:
        return float(bool(found.more.get("plus") if name.endswith("+") else found.passed))

    def summary(self, verdicts: Sequence[Sequence[mftkit.Verdict]]) -> dict[str, float]:
        """Return the mean over rows of each row's estimate."""
        return self._named(
            {
                "": [(len(row), sum(bool(each.passed) for each in row)) for row in verdicts],
                "+": [(len(row), sum(bool(each.more.get("plus")) for each in row)) for row in verdicts],
            }
        )
