"""The filter ``verification``: keeps solutions that pass their tests."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import islice
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

import mftkit
from mftkit_plugins.filters.verification import prompts
from mftkit_plugins.filters.verification.cases import Case, case_of
from mftkit_plugins.filters.verification.trial import FAILS, NO_CODE, Demands, verdict_on
from mftkit_plugins.program_tests.execution_options import ExecutionOptions
from mftkit_plugins.program_tests.stubs import functions
from mftkit_plugins.python_code import parsed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mftkit_plugins.filters.verification.prompts import Answer
    from mftkit_plugins.filters.verification.trial import Verdict

_TOGETHER = 32
"""Rows that are sent to the model and executed together."""
NO_TESTS = "it has no tests, and no model is set to write them"
NO_REPLY = "the model's reply contains no usable code"
TOO_LATE = "the model's budget was spent before this row"


class Verification(mftkit.DataFilter):
    """Executes each row's solution together with tests, and keeps the rows that pass.

    The solution is the Python code of the last answer. The tests are the row's own, or a model writes them from
    the question. Tests are accepted only if they fail with stubs of the solution, whose functions raise or return None.
    """

    class Options(ExecutionOptions):
        """Options of ``verification``."""

        tests_key: str = Field(default="tests", min_length=1)
        """Key of a row's own tests: assert statements, test functions, unittest cases, pytest's classes and parameters,
        doctests, or ``check(candidate)``."""
        pass_rate: float = Field(default=1.0, gt=0, le=1)
        """Least share of the tests and assertions that pass; below 1 the others still run after a failure."""
        not_run: Literal["drop", "report"] = "drop"
        """"drop": rows are dropped if a test or an assertion of their tests did not run; "report": they are counted as
        ``not_run``, and judged by what ran."""
        mutants: int = Field(default=0, ge=0)
        """How many mutants of the solution (one small change each) the tests are tried with."""
        mutants_killed: float = Field(default=0.5, ge=0, le=1)
        """Least share of the mutants that the tests must fail with."""
        model: mftkit.ChatModelRef | None = None
        """The chat model that writes tests for rows without any; null: rows without tests are dropped."""
        solution: Literal["row", "model"] = "row"
        """"row": the row's answer is verified; "model": the model writes a solution and tests to replace it."""
        repairs: int = Field(default=0, ge=0, le=5)
        """How many times the model may repair a row that fails."""
        keep_tests: bool = True
        """Whether kept rows store the model's tests under ``tests_key``."""

        @model_validator(mode="after")
        def _has_a_model(self) -> Self:
            for key, needs_model in (("repairs", self.repairs), ("solution", self.solution == "model")):
                if needs_model and self.model is None:
                    raise ValueError(f"{key} requires a chat model: set the option model")
            return self

    options: Options
    version = "3"

    def apply(
        self, rows: Iterator[mftkit.JsonObject], context: mftkit.FilterContext
    ) -> Iterator[mftkit.JsonObject]:
        """Yield rows in order, batch by batch."""
        with ExitStack() as stack:
            work = _Work(self.options, context, stack)
            while cases := [case_of(row, self.options.tests_key) for row in islice(rows, _TOGETHER)]:
                yield from work.verified(cases)


class _Work:
    """The executor, the chat and the threads of one pass over the rows."""

    def __init__(
        self, options: Verification.Options, context: mftkit.FilterContext, stack: ExitStack
    ) -> None:
        self.options = options
        self.context = context
        self.executor = context.executor(options.isolation)
        self.chat = stack.enter_context(context.chat(options.model)) if options.model is not None else None
        self.pool = ThreadPoolExecutor(options.threads)
        stack.callback(self.pool.shutdown, cancel_futures=True)
        self.demands = Demands(
            options.pass_rate,
            options.not_run == "report",
            options.mutants,
            options.mutants_killed,
            context.seed,
        )
        self.limits = options.limits

    def verified(self, cases: Sequence[Case]) -> Iterator[mftkit.JsonObject]:
        """Yield the rows that are kept."""
        self.complete(cases)
        self.execute([case for case in cases if case.verdict.reason is None])
        for _ in range(self.options.repairs):
            self.repair([case for case in cases if case.verdict.reason == FAILS])
        for case in cases:
            verdict = case.verdict
            if verdict.reason is None:
                self.context.report(
                    repaired=int(case.repairs > 0),
                    not_run=int(verdict.not_run),
                    values=int(verdict.way == "values"),
                    objects=int(verdict.way == "objects"),
                )
                yield case.result(self.options.tests_key if self.options.keep_tests else None)
            else:
                self.context.drop(case.row, verdict.reason, detail=verdict.detail)

    def complete(self, cases: Sequence[Case]) -> None:
        """Ask the model for missing tests, or for a solution and tests."""
        if self.options.solution == "model":
            self.ask(cases, lambda case: prompts.BOTH.format(question=case.question), prompts.read_both)
        else:
            without_tests = [case for case in cases if case.tests is None]
            self.ask(without_tests, _tests_prompt, prompts.read_tests)
        for case in cases:
            if case.verdict.reason is None and parsed(case.solution) is None:
                case.drop(NO_CODE)

    def ask(
        self,
        cases: Sequence[Case],
        prompt: Callable[[Case], str],
        read: Callable[[str], Answer | None],
    ) -> None:
        """Ask the model, and take solutions and tests from its replies."""
        if self.chat is None:
            for case in cases:
                case.drop(NO_TESTS)
            return
        replies = self.chat.ask_all(mftkit.ChatRequest.of(prompt(case)) for case in cases)
        for case, reply in zip(cases, _until_spent(replies, self.context), strict=False):
            answer = read(reply.text) if reply is not None and reply.complete else None
            if answer is None:
                case.drop(TOO_LATE if reply is None else NO_REPLY)
                continue
            if answer.tests is not None:
                case.tests, case.given = answer.tests, False
            case.changed = case.changed or answer.solution is not None
            case.solution = answer.solution or case.solution

    def execute(self, cases: Iterable[Case]) -> None:
        """Run the cases, as many at a time as there are workers."""
        cases = list(cases)
        verdicts = self.pool.map(self._verdict, cases)
        for case, verdict in zip(cases, verdicts, strict=True):
            case.verdict = verdict

    def _verdict(self, case: Case) -> Verdict:
        return verdict_on(case.program, self.executor, self.limits, self.demands)

    def repair(self, cases: Sequence[Case]) -> None:
        """Have the model repair failing cases once: only the solution if the tests came with the row."""
        for given, template, read in (
            (True, prompts.REPAIR_SOLUTION, prompts.read_solution),
            (False, prompts.REPAIR_BOTH, prompts.read_both),
        ):
            chosen = [case for case in cases if case.given is given]
            before = [case.verdict for case in chosen]
            self.ask(chosen, lambda case, template=template: _repair_prompt(template, case), read)  # type: ignore[misc]
            repaired = [case for case, verdict in zip(chosen, before, strict=True) if case.verdict is verdict]
            for case, verdict in zip(chosen, before, strict=True):
                case.verdict = verdict  # without a usable reply the case still fails as before
            for case in repaired:
                case.repairs += 1
            self.execute(repaired)


def _until_spent(
    replies: Iterator[mftkit.Reply], context: mftkit.FilterContext
) -> Iterator[mftkit.Reply | None]:
    """Yield the replies, then None for every request that the budget does not cover."""
    try:
        yield from replies
    except mftkit.BudgetSpent as spent:
        context.note(str(spent))
    while True:
        yield None


def _tests_prompt(case: Case) -> str:
    names = ", ".join(functions(case.solution)) or "what the task names"
    return prompts.TESTS.format(question=case.question, names=names)


def _repair_prompt(template: str, case: Case) -> str:
    return template.format(
        question=case.question, solution=case.solution, tests=case.tests, error=case.verdict.error
    )
