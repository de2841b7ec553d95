"""Answers that are programs: run with the row's tests, or with its inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mftkit
from mftkit_plugins.evaluators.execution.toolchains import run_program
from mftkit_plugins.filters.text.code import code_that_answers
from mftkit_plugins.program_tests import TestedProgram, TestResult, run_tests
from mftkit_plugins.program_tests.results import NO_CODE
from mftkit_plugins.python_code import parsed

if TYPE_CHECKING:
    from mftkit_plugins.evaluators.execution.sandbox import Sandbox

ALMOST = 1 - 1e-9
"""A pass rate below 1: the other tests still run after a failure."""


def by_tests(row: mftkit.EvaluationRow, tests: str, answer: str, sandbox: Sandbox) -> tuple[bool, float, str]:
    """Return whether all Python tests pass, the share of tests and assertions that do, and why not all."""
    entry = row.row.get("entry_point")
    code = code_that_answers(answer, "python")
    if not code.strip() or parsed(code) is None:
        return False, 0.0, NO_CODE
    program = TestedProgram(code, tests, entry if isinstance(entry, str) else "")
    done = run_tests(program, sandbox.executor, sandbox.limits, pass_rate=ALMOST)
    if done.passed:
        return True, 1.0, ""
    note = ": ".join(part for part in (done.reason, done.detail) if part)
    return False, _share(done), note


def _share(done: TestResult) -> float:
    """Return the share of the source's tests and assertions that ran and held."""
    return min(done.tests_passed / done.tests, ALMOST) if done.tests else 0.0


def by_cases(
    cases: list[dict[str, str]], language: str, answer: str, sandbox: Sandbox
) -> tuple[bool, float, str]:
    """Return whether a program prints what is expected for every input, for which share it does, and why not for all.

    White space at the ends of lines, and blank lines at the end, do not count.
    """
    code = mftkit.answer_code(answer, language, other_languages=True) or answer
    runs = run_program(language, code, [case["input"] for case in cases], sandbox)
    troubles = []
    for number, (case, run) in enumerate(zip(cases, runs, strict=True), 1):
        why = run.trouble
        if not why and trimmed(run.out) != trimmed(case["output"]):
            why = f"it prints {trimmed(run.out)!r:.80}, not {trimmed(case['output'])!r:.80}"
        if why:
            troubles.append(f"case {number}: {why}")
    share = 1 - len(troubles) / len(cases)
    return not troubles, share, troubles[0] if troubles else ""


def trimmed(text: str) -> str:
    """Return a text without white space at the ends of its lines and of itself."""
    return "\n".join(line.rstrip() for line in text.splitlines()).rstrip()


def tests_of(value: object) -> str | list[dict[str, str]] | None:
    """Return a row's tests: Python code, or cases with "input" and "output"; None if they are neither."""
    if isinstance(value, list) and value and all(isinstance(part, str) for part in value):
        value = "\n".join(value)
    if isinstance(value, str):
        return value if value.strip() else None
    if not isinstance(value, list) or not value:
        return None
    cases = [case for case in value if isinstance(case, dict)]
    whole = all(isinstance(case.get(key), str) for case in cases for key in ("input", "output"))
    return cases if whole and len(cases) == len(value) else None
