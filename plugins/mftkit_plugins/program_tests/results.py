"""What is tried, and the verdict on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mftkit_plugins import python_code

FAILS = "its solution fails its tests"
NO_FUNCTION = "its solution has no function to test"
NOTHING_TESTED = "its tests pass with a stub of the solution: they test nothing"
NO_CODE = "its solution does not parse as Python"
TOO_DEEP = f"its solution is {python_code.TOO_DEEP}: no stubs or mutants of it can be made"
NOT_RUN = "tests did not run: "
"""How the reasons begin that say why a part of the tests did not run."""
SKIPPED = NOT_RUN + "skipped, or expected to fail"
NEVER_REACHED = NOT_RUN + "a test or an assertion was never reached"
LEFT = NOT_RUN + "an assertion was left by an error that nobody saw"
NO_PYTEST = NOT_RUN + "pytest is not installed"
CANNOT = NOT_RUN + "a value cannot be passed between the program and its tests"
UNREADABLE = NOT_RUN + "they do not parse as Python"
TESTS_TOO_DEEP = NOT_RUN + f"they are {python_code.TOO_DEEP}"
Way = Literal["values", "objects"]


@dataclass(frozen=True)
class TestedProgram:
    """A Python program with its tests."""

    __test__ = False
    solution: str
    tests: str
    entry: str = ""
    """The function that ``check(candidate)`` is called with; empty: the last one that the solution defines."""


@dataclass(frozen=True)
class TestResult:
    """The verdict on a program with its tests."""

    __test__ = False
    passed: bool
    reason: str | None = None
    """Why it has not passed, one of the fixed texts of this module; None if it has."""
    detail: str = ""
    """The last line of the error, or the places that did not run."""
    error: str = ""
    """The end of the error output."""
    tests: int = 0
    """Tests and assertions of the source."""
    tests_passed: int = 0
    """Tests and assertions that ran and held; what did not run is not among them."""
    not_run: tuple[str, ...] = ()
    """Places in the tests that did not run, with why."""
    way: Way = "values"
    """How results reached the tests: as plain data, or also as handles of objects that the program keeps."""
