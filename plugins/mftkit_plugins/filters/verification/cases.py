"""A row that is being verified."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mftkit import code_blocks, row_texts, with_answer
from mftkit_plugins.filters.text.code import all_code, code_that_answers
from mftkit_plugins.filters.verification.trial import Verdict
from mftkit_plugins.program_tests import TestedProgram
from mftkit_plugins.python_code import parsed

if TYPE_CHECKING:
    from mftkit import JsonObject


@dataclass
class Case:
    """A row with its solution, its tests and the verdict on them."""

    row: JsonObject
    question: str
    answer: str
    solution: str
    tests: str | None
    entry: str = ""
    given: bool = False
    """Whether the tests came with the row."""
    changed: bool = False
    """Whether the solution differs from the row's."""
    repairs: int = 0
    verdict: Verdict = field(default_factory=Verdict)

    @property
    def program(self) -> TestedProgram:
        """The solution and the tests that are executed."""
        return TestedProgram(self.solution, self.tests or "", self.entry)

    def drop(self, reason: str, detail: str = "") -> None:
        """Mark the row as dropped."""
        self.verdict = Verdict(reason, detail)

    def result(self, tests_key: str | None) -> JsonObject:
        """Return the row to keep: with the solution that passed, and the model's tests under ``tests_key``."""
        row = self.row
        if self.changed:
            fenced = f"```python\n{self.solution}\n```" if code_blocks(self.answer) else self.solution
            row = with_answer(row, fenced)
        return row if tests_key is None or self.given else {**row, tests_key: self.tests}


def case_of(row: JsonObject, tests_key: str) -> Case:
    """Read a row: its last question, the code of its last answer, the tests under a key."""
    texts = row_texts(row)
    question = texts.prompts[-1] if texts.prompts else ""
    answer = texts.answers[-1]
    tests = _tests(row.get(tests_key))
    entry = row.get("entry_point")
    return Case(
        row,
        question,
        answer,
        _solution(question, answer),
        tests,
        entry if isinstance(entry, str) else "",
        given=tests is not None,
    )


def _tests(value: object) -> str | None:
    """Read a text, or a list of texts as in a table of problems."""
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        value = "\n".join(value)
    return value if isinstance(value, str) and value.strip() else None


def _solution(question: str, answer: str) -> str:
    """Return the answer's code; if it only continues the code of the question, both."""
    code = code_that_answers(answer, "python")
    if parsed(code) is None:
        together = f"{all_code(question, 'python').rstrip()}\n{code}"
        return together if parsed(together) is not None else code
    return code
