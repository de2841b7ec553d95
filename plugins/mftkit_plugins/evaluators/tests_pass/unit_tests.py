"""Answers that are unit tests: run with the row's program, with stubs of it and with mutants of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import mftkit
from mftkit_plugins.filters.text.code import all_code
from mftkit_plugins.program_tests import TestedProgram, mutants, run_tests, stubs
from mftkit_plugins.program_tests.results import NOTHING_TESTED
from mftkit_plugins.program_tests.stubs import functions
from mftkit_plugins.program_tests.verdicts import passes_by_itself
from mftkit_plugins.python_code import parsed

if TYPE_CHECKING:
    from mftkit_plugins.evaluators.execution.sandbox import Sandbox


class Tried(NamedTuple):
    """What tests are worth."""

    passed: bool
    killed: int
    mutants: int
    note: str


def try_tests(program: str, answer: str, number: int, seed: int, sandbox: Sandbox) -> Tried:
    """Run the tests of an answer with a program; if they pass, with its stubs, which must fail, and with mutants."""
    made = mutants(program, number, seed)
    tested = TestedProgram(program, all_code(mftkit.split_reasoning(answer).answer, "python"))
    executor, limits = sandbox.executor, sandbox.limits
    done = run_tests(tested, executor, limits)
    if not done.passed:
        return Tried(False, 0, len(made), ": ".join(part for part in (done.reason, done.detail) if part))
    if any(passes_by_itself(replace(tested, solution=stub), executor, limits) for stub in stubs(program)):
        return Tried(False, 0, len(made), NOTHING_TESTED)
    tries = [run_tests(replace(tested, solution=mutant), executor, limits).passed for mutant in made]
    return Tried(True, tries.count(False), len(made), "")


def program_of(row: mftkit.EvaluationRow, key: str | None) -> str | None:
    """Return the Python program that a row has tested: under a key, or in its question.

    Without a key it is that of "code" or "program", else the fenced code of the question, else what is left of the
    question without its first lines, from where it parses and defines something.
    """
    for name in (key,) if key is not None else ("code", "program"):
        value = row.row.get(name)
        if isinstance(value, str) and value.strip():
            return value if functions(value) else None
    if key is not None:
        return None
    blocks = all_code(row.question, "python") if mftkit.code_blocks(row.question) else ""
    lines = row.question.splitlines()
    texts = [blocks] if blocks else ["\n".join(lines[first:]) for first in range(min(len(lines), 20))]
    return next((text for text in texts if parsed(text) is not None and functions(text)), None)
