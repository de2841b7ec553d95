"""The filter: keeps what was seen to work."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

import mftkit
from mftkit.similarity.code import parsed
from mftkit_plugins.filters.verification import prompts
from mftkit_plugins.filters.verification.cases import Case, case_of
from mftkit_plugins.filters.verification.stubs import functions
from mftkit_plugins.filters.verification.trial import FAILS, NO_CODE, tried

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mftkit_plugins.filters.verification.prompts import Answer

_TOGETHER = 32
"""Rows that are asked for and executed at a time."""
_MIB = 1 << 20
NO_TESTS = "it has no tests, and no model is asked for any"
NO_REPLY = "the model's reply holds no code to use"
TOO_LATE = "the budget of the model was spent before it"


class Verification(mftkit.DataFilter):
    """Executes each row's solution together with tests, and keeps the pairs that pass.

    The solution is the Python code of the last answer. The tests are the row's own, or a model writes them from
    the question. They count only if they fail with stubs of the solution, whose functions raise or give nothing.
    """

    class Options(mftkit.Options):
        """Options of ``verification``."""

        tests_key: str = Field(default="tests", min_length=1)
        """Key of a row's own tests: assert statements, test functions, unittest cases, or ``check(candidate)``."""
        model: mftkit.ChatModelRef | None = None
        """The chat model that is asked for tests where a row has none; null: such a row is dropped."""
        solution: Literal["row", "model"] = "row"
        """"row": the row's answer is verified; "model": the model is asked for a solution and tests in its place."""
        repairs: int = Field(default=0, ge=0, le=5)
        """How often the model may mend what fails."""
        keep_tests: bool = True
        """Whether rows that stay have the model's tests under ``tests_key``."""
        isolation: mftkit.ExecutorRef = Field(default="auto")  # type: ignore[assignment]  # read as a spec has it
        """What executes: the name of an executor, or "auto" for the strongest that works here."""
        seconds: float = Field(default=10.0, gt=0)
        """Most seconds of one execution, of the clock and of the processor."""
        memory_mib: int = Field(default=1024, ge=64)
        """Most MiB of memory of one execution."""
        processes: int = Field(default=32, ge=4)
        """Most processes and threads of one execution."""
        output_kib: int = Field(default=64, ge=1)
        """Most KiB that one execution may print."""
        workers: int | None = Field(default=None, ge=1)
        """Executions at a time; null: as many as there are processors."""

        @model_validator(mode="after")
        def _has_whom_to_ask(self) -> Self:
            for key, wanted in (("repairs", self.repairs), ("solution", self.solution == "model")):
                if wanted and self.model is None:
                    raise ValueError(f"{key} needs a model: name one in model")
            return self

    options: Options

    def apply(
        self, rows: Iterator[dict[str, Any]], context: mftkit.FilterContext
    ) -> Iterator[dict[str, Any]]:
        """Rows in order, some at a time."""
        with ExitStack() as stack:
            work = _Work(self.options, context, stack)
            while some := [case_of(row, self.options.tests_key) for row in islice(rows, _TOGETHER)]:
                yield from work.verified(some)


class _Work:
    """What one pass over the rows holds on to."""

    def __init__(
        self, options: Verification.Options, context: mftkit.FilterContext, stack: ExitStack
    ) -> None:
        self.options = options
        self.context = context
        self.executor = context.executor(options.isolation)
        self.chat = stack.enter_context(context.chat(options.model)) if options.model is not None else None
        self.pool = ThreadPoolExecutor(options.workers or os.cpu_count() or 1)
        stack.callback(self.pool.shutdown, cancel_futures=True)
        seconds = max(1, round(options.seconds))
        self.limits = mftkit.Limits(
            options.seconds, seconds, options.memory_mib * _MIB, options.processes, options.output_kib * 1024
        )

    def verified(self, cases: Sequence[Case]) -> Iterator[dict[str, Any]]:
        """The rows that stay."""
        self.complete(cases)
        self.execute([case for case in cases if case.verdict.reason is None])
        for _ in range(self.options.repairs):
            self.mend([case for case in cases if case.verdict.reason == FAILS])
        for case in cases:
            verdict = case.verdict
            if verdict.reason is None:
                self.context.report(repaired=int(case.repairs > 0))
                yield case.result(self.options.tests_key if self.options.keep_tests else None)
            else:
                self.context.drop(case.row, verdict.reason, detail=verdict.detail)

    def complete(self, cases: Sequence[Case]) -> None:
        """Ask for what is missing: tests, or a solution and tests."""
        if self.options.solution == "model":
            self.ask(cases, lambda case: prompts.BOTH.format(question=case.question), prompts.read_both)
        else:
            lacking = [case for case in cases if case.tests is None]
            self.ask(lacking, _tests_prompt, prompts.read_tests)
        for case in cases:
            if case.verdict.reason is None and parsed(case.solution) is None:
                case.drop(NO_CODE)

    def ask(
        self,
        cases: Sequence[Case],
        prompt: Callable[[Case], str],
        read: Callable[[str], Answer | None],
    ) -> None:
        """Take solutions and tests from the model's replies."""
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
        """Run them, as many at a time as there are workers."""
        some = list(cases)
        verdicts = self.pool.map(lambda case: tried(case.pair, self._run), some)
        for case, verdict in zip(some, verdicts, strict=True):
            case.verdict = verdict

    def _run(self, program: mftkit.Program) -> mftkit.Execution:
        return self.executor.run(program, self.limits)

    def mend(self, cases: Sequence[Case]) -> None:
        """Have what fails mended once: the solution alone where the tests are the row's."""
        for given, template, read in (
            (True, prompts.MEND_SOLUTION, prompts.read_solution),
            (False, prompts.MEND_BOTH, prompts.read_both),
        ):
            some = [case for case in cases if case.given is given]
            before = [case.verdict for case in some]
            self.ask(some, lambda case, template=template: _mend_prompt(template, case), read)  # type: ignore[misc]
            mended = [case for case, verdict in zip(some, before, strict=True) if case.verdict is verdict]
            for case, verdict in zip(some, before, strict=True):
                case.verdict = verdict  # without a reply it is as it was: it fails
            for case in mended:
                case.repairs += 1
            self.execute(mended)


def _until_spent(
    replies: Iterator[mftkit.Reply], context: mftkit.FilterContext
) -> Iterator[mftkit.Reply | None]:
    """The replies, and None for each that the budget leaves no room for."""
    try:
        yield from replies
    except mftkit.BudgetSpent as spent:
        context.note(str(spent))
    while True:
        yield None


def _tests_prompt(case: Case) -> str:
    names = ", ".join(functions(case.solution)) or "what the task names"
    return prompts.TESTS.format(question=case.question, names=names)


def _mend_prompt(template: str, case: Case) -> str:
    return template.format(
        question=case.question, solution=case.solution, tests=case.tests, error=case.verdict.error
    )
