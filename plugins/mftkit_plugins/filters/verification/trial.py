"""One solution with its tests, executed; and the tests with stubs of the solution."""

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
NO_FUNCTION = "its solution has no function to be tested"
NOTHING_TESTED = "its tests pass with a stub of the solution: they test nothing"
NO_CODE = "its solution is no Python that parses"
_SHOWN = 300
"""Characters of an error in a report."""


@dataclass(frozen=True)
class Verdict:
    """Whether a solution and its tests are of use."""

    reason: str | None = None
    """Why not, one of the fixed texts of this module; None: they are."""
    detail: str = ""
    """The last line of the error."""
    error: str = ""
    """The end of the error, for whoever is to mend it."""


class Pair(NamedTuple):
    """What is executed together."""

    solution: str
    tests: str
    entry: str = ""
    """The function that ``check(candidate)`` is called with; empty: the last that the solution defines."""


def tried(pair: Pair, execute: Callable[[mftkit.Program], mftkit.Execution]) -> Verdict:
    """Run the solution with the tests; where they pass, also its stubs, with which they must fail."""
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
    word = secrets.token_hex(16)  # a program that leaves early has not said it
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
