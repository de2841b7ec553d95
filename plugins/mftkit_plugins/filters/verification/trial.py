"""Executes one solution with its tests, then the tests with stubs of the solution."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import mftkit
from mftkit_plugins.filters.verification.stubs import functions, stubs

if TYPE_CHECKING:
    from collections.abc import Callable

FAILS = "its solution fails its tests"
NO_FUNCTION = "its solution has no function to test"
NOTHING_TESTED = "its tests pass with a stub of the solution: they test nothing"
NO_CODE = "its solution does not parse as Python"
_SHOWN = 300
"""Characters of an error in a report."""


@dataclass(frozen=True)
class Verdict:
    """Result of executing a solution with its tests."""

    reason: str | None = None
    """Why the row is dropped, one of the fixed texts of this module; None if it is kept."""
    detail: str = ""
    """The last line of the error."""
    error: str = ""
    """The end of the error output, for the model that is asked for a repair."""


class Pair(NamedTuple):
    """A solution and its tests."""

    solution: str
    tests: str
    entry: str = ""
    """The function that ``check(candidate)`` is called with; empty: the last one that the solution defines."""


def verdict_on(pair: Pair, execute: Callable[[mftkit.Program], mftkit.Execution]) -> Verdict:
    """Run the tests with the solution; if they pass, run them with its stubs, with which they must fail."""
    names = functions(pair.solution)
    made = stubs(pair.solution)
    if not made:
        return Verdict(NO_FUNCTION)
    entry = pair.entry or (names[-1] if names else "")
    passed, done = _passes(pair.solution, pair.tests, entry, execute)
    if not passed:
        return Verdict(FAILS, _last_line(done), done.stderr[-4 * _SHOWN :])
    if any(_passes(stub, pair.tests, entry, execute)[0] for stub in made):
        return Verdict(NOTHING_TESTED)
    return Verdict()


def _passes(
    solution: str, tests: str, entry: str, execute: Callable[[mftkit.Program], mftkit.Execution]
) -> tuple[bool, mftkit.Execution]:
    word = secrets.token_hex(16)  # printed at the end, so a program that exits early cannot pass
    main = Path(__file__).with_name("runner.py").read_text(encoding="utf-8")
    files = {"main.py": main, "solution.py": solution, "tests.py": tests}
    done = execute(mftkit.Program(files, stdin=f"{word}\n{entry}\n"))
    return done.succeeded and done.stderr.rstrip().endswith(word), done


def _last_line(done: mftkit.Execution) -> str:
    if done.how != "exited":
        return {
            "time": "it takes too long",
            "memory": "it takes too much memory",
            "output": "it prints too much",
        }[done.how]
    lines = done.stderr.strip().splitlines()
    return lines[-1][:_SHOWN] if lines else f"it ends with exit code {done.code}"
