"""The forms in which rows hold programming problems, recognised by their keys."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

import mftkit
from mftkit_plugins.evaluators.execution.sandbox import place
from mftkit_plugins.program_tests import TestedProgram, run_tests
from mftkit_plugins.program_tests.results import NO_CODE
from mftkit_plugins.python_code import parsed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mftkit_plugins.evaluators.execution.sandbox import Sandbox

Ask = Literal["chat", "completion"]


class Form(ABC):
    """A form of problems."""

    name: ClassVar[str]
    marks: ClassVar[tuple[str, ...]]
    """Keys by which a row is recognised."""
    needs: ClassVar[tuple[str, ...]]
    """Keys that a row of this form must have."""

    def check(self, rows: Sequence[mftkit.EvaluationRow], sandbox: Sandbox) -> None:  # noqa: ARG002
        """Raise MftError for a row that cannot be evaluated, or a toolchain that is missing."""
        for row in rows:
            # A list that is no text is checked by its form.
            missing = [
                key
                for key in self.needs
                if not text_of(row, key) and (not row.row.get(key) or not isinstance(row.row[key], list))
            ]
            if missing:
                raise mftkit.MftError(
                    f'pass-at-k: {place(row)} has the form {self.name}, but no "{missing[0]}"; complete the row'
                )
            self.check_row(row)

    @abstractmethod
    def check_row(self, row: mftkit.EvaluationRow) -> None:
        """Raise MftError for a row with the needed keys whose values cannot be used."""

    @abstractmethod
    def prompt(self, row: mftkit.EvaluationRow, ask: Ask) -> mftkit.EvaluationPrompt | None:
        """Return what the model is asked."""

    @abstractmethod
    def verdict(self, row: mftkit.EvaluationRow, answer: str, ask: Ask, sandbox: Sandbox) -> mftkit.Verdict:
        """Run an answer."""


def asked(text: str) -> mftkit.EvaluationPrompt:
    """Return a question for a chat."""
    return mftkit.EvaluationPrompt(mftkit.Conversation((mftkit.Turn("user", text),)))


def tested(solution: str, tests: str, entry: str, sandbox: Sandbox) -> mftkit.Verdict:
    """Run a Python program with its tests: it passes if all of them pass and every assertion was run."""
    if not solution.strip() or parsed(solution) is None:
        return verdict(False, NO_CODE, {})
    done = run_tests(TestedProgram(solution, tests, entry), sandbox.executor, sandbox.limits)
    note = "" if done.passed else ": ".join(part for part in (done.reason, done.detail) if part)
    return verdict(done.passed, note, {"way": done.way})


def verdict(passed: bool, note: str, more: mftkit.JsonObject) -> mftkit.Verdict:
    """Return a verdict of pass-at-k; its metrics are known for all answers to a row together only."""
    return mftkit.Verdict({}, passed, note, more)


def text_of(row: mftkit.EvaluationRow, *keys: str) -> str:
    """Return the first of the keys that holds a text, or lines of text; empty if none does."""
    for key in keys:
        value = row.row.get(key)
        if isinstance(value, list) and all(isinstance(part, str) for part in value):
            value = "\n".join(value)
        if isinstance(value, str) and value.strip():
            return value
    return ""
