"""The evaluator ``tests-pass``: programs by their tests, and tests by their programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

import mftkit
from mftkit_plugins.evaluators.execution.sandbox import SandboxOptions, judged, place
from mftkit_plugins.evaluators.execution.toolchains import require_toolchain
from mftkit_plugins.evaluators.tests_pass.programs import by_cases, by_tests, tests_of
from mftkit_plugins.evaluators.tests_pass.unit_tests import program_of, try_tests
from mftkit_plugins.program_tests import mutants, stubs
from mftkit_plugins.python_code import TooDeepError, parsed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mftkit_plugins.evaluators.execution.sandbox import Sandbox

NAME = "tests-pass"


class TestsPass(mftkit.Evaluator):
    """Runs answers that are programs with the row's tests, or answers that are tests with the row's program.

    Tests count as passing only if they fail with stubs of the program: those that nothing can fail test nothing.
    """

    __test__ = False

    class Options(SandboxOptions):
        """What answers are, and what of a row they are run with."""

        answer: Literal["program", "tests"] = "program"
        """What the model writes: a program, such as a translation, or Python unit tests."""
        tests: str = Field(default="tests", min_length=1)
        """Key of a row's tests, for programs: Python tests as for the filter verification, or a list of
        {"input": ..., "output": ...}, what a program reads and what it must print."""
        language: Literal["python", "c", "cpp", "java", "javascript", "go", "rust"] = "python"
        """Language of the programs that read and print."""
        program: str | None = None
        """Key of the Python program that the answer tests. Null: "code" or "program", else the code in the question."""
        mutants: int = Field(default=10, ge=0)
        """How many mutants of the program (one small change each) the tests are tried with; 0: none."""

    options: Options

    @property
    def _kills(self) -> bool:
        return self.options.answer == "tests" and self.options.mutants > 0

    def metrics(self) -> tuple[mftkit.Metric, ...]:
        """The share of answers whose tests all pass, and the mean share of tests or of killed mutants."""
        passing = mftkit.Metric(NAME)
        if self.options.answer == "program":
            return (passing, mftkit.Metric("pass-rate"))
        return (passing, mftkit.Metric("mutants-killed")) if self._kills else (passing,)

    def check(self, rows: Sequence[mftkit.EvaluationRow], context: mftkit.EvaluationContext) -> None:
        """Raise MftError for a row without tests or program, or a toolchain that is missing."""
        sandbox = self.options.sandbox(context)
        for row in rows:
            if self.options.answer == "program":
                self._check_tests(row)
            else:
                self._check_program(row, context.seed)
        if any(not isinstance(self._tests(row), str) for row in rows if self.options.answer == "program"):
            require_toolchain(self.options.language, sandbox, NAME)

    def _check_tests(self, row: mftkit.EvaluationRow) -> None:
        found = self._tests(row)
        if found is None:
            raise mftkit.MftError(
                f'{NAME}: {place(row)} has no tests under "{self.options.tests}": neither Python code nor a list of '
                '{"input": ..., "output": ...}; add them, or name another key with the option tests'
            )
        if isinstance(found, str) and (self.options.language != "python" or parsed(found) is None):
            raise mftkit.MftError(
                f'{NAME}: {place(row)}: its tests under "{self.options.tests}" are no Python code, or the option '
                'language is another one; programs in other languages are tested by "input" and "output"'
            )

    def _check_program(self, row: mftkit.EvaluationRow, seed: int) -> None:
        program = program_of(row, self.options.program)
        if program is None:
            where = f'"{self.options.program}"' if self.options.program else '"code" or "program"'
            raise mftkit.MftError(
                f"{NAME}: {place(row)} has no Python program with a function, under {where} or in its question; add "
                "it, or name its key with the option program"
            )
        try:
            stubs(program)
            changed = mutants(program, 1, seed) if self._kills else []
        except TooDeepError as error:
            raise mftkit.MftError(
                f"{NAME}: the program of {place(row)} is {error}: no stubs or mutants of it can be made; take the row "
                "away"
            ) from None
        if self._kills and not changed:
            raise mftkit.MftError(
                f"{NAME}: the program of {place(row)} has no mutants, as it has neither operators nor returned values; "
                'take the row away, or set "mutants": 0'
            )

    def _tests(self, row: mftkit.EvaluationRow) -> str | list[dict[str, str]] | None:
        return tests_of(row.row.get(self.options.tests))

    def score(
        self, answered: Sequence[mftkit.Answered], context: mftkit.EvaluationContext
    ) -> list[list[mftkit.Verdict]]:
        """Run each answer."""
        sandbox = self.options.sandbox(context)
        if self.options.answer == "program":
            return judged(answered, sandbox, lambda row, answer: self._of_program(row, answer, sandbox))
        seed = context.seed
        return judged(answered, sandbox, lambda row, answer: self._of_tests(row, answer, seed, sandbox))

    def _of_program(self, row: mftkit.EvaluationRow, answer: str, sandbox: Sandbox) -> mftkit.Verdict:
        tests = self._tests(row)
        assert tests is not None, "check() refuses rows without tests"
        if isinstance(tests, str):
            passed, share, note = by_tests(row, tests, answer, sandbox)
        else:
            passed, share, note = by_cases(tests, self.options.language, answer, sandbox)
        return mftkit.Verdict({NAME: float(passed), "pass-rate": share}, passed, note)

    def _of_tests(
        self, row: mftkit.EvaluationRow, answer: str, seed: int, sandbox: Sandbox
    ) -> mftkit.Verdict:
        program = program_of(row, self.options.program)
        assert program is not None, "check() refuses rows without a program"
        found = try_tests(program, answer, self.options.mutants, seed, sandbox)
        scores = {NAME: float(found.passed)}
        if self._kills:
            scores["mutants-killed"] = found.killed / found.mutants
        more: mftkit.JsonObject = {"mutants": found.mutants, "killed": found.killed}
        return mftkit.Verdict(scores, found.passed, found.note, more)
