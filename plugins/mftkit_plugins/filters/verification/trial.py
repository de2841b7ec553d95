"""Tries a solution with its tests, and the tests with stubs and mutants of the solution."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from mftkit_plugins.program_tests import TestedProgram, TestResult, mutants, run_tests, stubs
from mftkit_plugins.program_tests.results import FAILS, NO_CODE, NO_FUNCTION, NOTHING_TESTED, TOO_DEEP, Way
from mftkit_plugins.program_tests.verdicts import passes_by_itself
from mftkit_plugins.python_code import TooDeepError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import mftkit

__all__ = [
    "FAILS",
    "NOTHING_TESTED",
    "NO_CODE",
    "NO_FUNCTION",
    "TOO_WEAK",
    "Demands",
    "Verdict",
    "verdict_on",
]

TOO_WEAK = "its tests pass with too many mutants of the solution"


@dataclass(frozen=True)
class Verdict:
    """Result of executing a solution with its tests."""

    reason: str | None = None
    """Why the row is dropped, one of a few fixed texts; None if it is kept."""
    detail: str = ""
    """The last line of the error."""
    error: str = ""
    """The end of the error output, for the model that is asked for a repair."""
    not_run: bool = False
    """Whether a part of the tests did not run."""
    way: Way = "values"
    """How results reached the tests."""


class Demands(NamedTuple):
    """What a solution and its tests must fulfil; the options of the filter say more."""

    pass_rate: float
    report_not_run: bool
    mutants: int
    mutants_killed: float
    seed: int


def verdict_on(
    program: TestedProgram, executor: mftkit.Executor, limits: mftkit.Limits, demands: Demands
) -> Verdict:
    """Run the tests with the solution; if they pass, run them with its stubs and mutants, with which they must fail."""
    try:
        made = stubs(program.solution)
        changed = mutants(program.solution, demands.mutants, demands.seed)
    except TooDeepError:
        return Verdict(TOO_DEEP)
    if not made:
        return Verdict(NO_FUNCTION)
    result = _run(program, executor, limits, demands)
    if not result.passed:
        return Verdict(result.reason, result.detail, result.error, bool(result.not_run), result.way)
    if any(passes_by_itself(replace(program, solution=stub), executor, limits) for stub in made):
        return Verdict(NOTHING_TESTED)
    weak = _weakness(program, changed, executor, limits, demands)
    return Verdict(TOO_WEAK, weak) if weak else Verdict(not_run=bool(result.not_run), way=result.way)


def _run(
    program: TestedProgram, executor: mftkit.Executor, limits: mftkit.Limits, demands: Demands
) -> TestResult:
    not_run: Literal["fail", "report"] = "report" if demands.report_not_run else "fail"
    return run_tests(program, executor, limits, pass_rate=demands.pass_rate, not_run=not_run)


def _weakness(
    program: TestedProgram,
    made: Sequence[str],
    executor: mftkit.Executor,
    limits: mftkit.Limits,
    demands: Demands,
) -> str:
    """Return how few mutants the tests kill, if that is too few."""
    tried = (replace(program, solution=mutant) for mutant in made)
    killed = sum(not _run(one, executor, limits, demands).passed for one in tried)
    enough = not made or killed / len(made) >= demands.mutants_killed
    return "" if enough else f"{killed} of {len(made)} mutants killed"
