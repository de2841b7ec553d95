"""The verdict on a program with its tests, from what the tests' process counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from mftkit_plugins.program_tests import results
from mftkit_plugins.program_tests.relay import converse
from mftkit_plugins.program_tests.results import TestedProgram, TestResult
from mftkit_plugins.program_tests.stubs import functions
from mftkit_plugins.python_code import parsed

if TYPE_CHECKING:
    import mftkit

_SHOWN = 300
"""Characters of an error in a report."""


def run_tests(
    program: TestedProgram,
    executor: mftkit.Executor,
    limits: mftkit.Limits,
    *,
    pass_rate: float = 1.0,
    not_run: Literal["fail", "report"] = "fail",
) -> TestResult:
    """Run a program's tests in two processes that ``executor`` opens, and return the verdict.

    ``pass_rate`` is the least share of tests and assertions that pass. Whatever in the tests did not run fails the
    program, or with ``not_run="report"`` is reported only.
    """
    if parsed(program.tests) is None:
        return TestResult(False, results.UNREADABLE)
    said = converse(_given(program, lenient=pass_rate < 1.0, stub=False), executor, limits)
    if "ended" in said:
        return TestResult(False, results.FAILS, said["ended"], said["ended"])
    return _verdict(said, pass_rate, report=not_run == "report")


def passes_by_itself(program: TestedProgram, executor: mftkit.Executor, limits: mftkit.Limits) -> bool:
    """Whether no test of a stub fails by itself: failures that the tests catch do not count, as the user sees none."""
    said = converse(_given(program, lenient=False, stub=True), executor, limits)
    return not (said.get("ended") or said["dead"] or said["too_deep"] or said["cannot"] or said["failed"])


def _given(program: TestedProgram, *, lenient: bool, stub: bool) -> dict[str, Any]:
    names = functions(program.solution)
    entry = program.entry or (names[-1] if names else "")
    return {
        "solution": program.solution,
        "tests": program.tests,
        "entry": entry,
        "lenient": lenient,
        "stub": stub,
    }


def _verdict(said: dict[str, Any], pass_rate: float, *, report: bool) -> TestResult:
    assertions = said["assertions"]
    total = said["passed"] + said["failed"] + assertions["all"]
    good = said["passed"] + assertions["held"]
    failed = said["failed"] + assertions["failed"]
    error = said["errors"][0] if said["errors"] else ""
    missing = tuple(said["not_run"])
    counts: dict[str, Any] = {
        "error": error[-4 * _SHOWN :],
        "tests": total,
        "tests_passed": good,
        "not_run": missing,
        "way": "objects" if said["objects"] else "values",
    }
    if said["too_deep"]:
        return TestResult(False, results.TESTS_TOO_DEEP, **counts)
    if said["cannot"]:
        return TestResult(False, results.CANNOT, said["cannot"][:_SHOWN], **counts)
    if said["dead"] or not said["loaded"] or (failed and good / (good + failed) < pass_rate):
        return TestResult(False, results.FAILS, _last_line(error), **counts)
    if missing and (not report or _why(missing) == results.NO_PYTEST):
        return TestResult(False, _why(missing), "; ".join(missing)[:_SHOWN], **counts)
    return TestResult(True, **counts)


def _why(missing: tuple[str, ...]) -> str:
    if any("pytest is not installed" in one for one in missing):
        return results.NO_PYTEST
    if any(one.startswith(("skipped", "expected")) for one in missing):
        return results.SKIPPED
    return results.NEVER_REACHED if any("never reached" in one for one in missing) else results.LEFT


def _last_line(error: str) -> str:
    lines = error.strip().splitlines()
    return lines[-1].strip()[:_SHOWN] if lines else ""
