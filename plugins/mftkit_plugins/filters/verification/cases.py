"""A row on its way through the verification."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mftkit.data.rows.row_texts import said, with_answer
from mftkit.similarity.code import blocks, code_of, parsed
from mftkit_plugins.filters.verification.trial import Pair, Verdict

_PYTHON = ("python", "py", "python3")


@dataclass
class Case:
    """A row, its solution and its tests, and what is known of them."""

    row: dict[str, Any]
    question: str
    answer: str
    solution: str
    tests: str | None
    entry: str = ""
    given: bool = False
    """Whether the tests are the row's."""
    changed: bool = False
    """Whether the solution is another than the row's."""
    repairs: int = 0
    verdict: Verdict = field(default_factory=Verdict)

    @property
    def pair(self) -> Pair:
        """What is executed."""
        return Pair(self.solution, self.tests or "", self.entry)

    def drop(self, reason: str, detail: str = "") -> None:
        """It cannot stay."""
        self.verdict = Verdict(reason, detail)

    def result(self, tests_key: str | None) -> dict[str, Any]:
        """The row as it stays: with the solution that passed, and tests that it did not bring under a key, if any."""
        row = self.row
        if self.changed:
            fenced = f"```python\n{self.solution}\n```" if blocks(self.answer) else self.solution
            row = with_answer(row, fenced)
        return row if tests_key is None or self.given else {**row, tests_key: self.tests}


def case_of(row: dict[str, Any], tests_key: str) -> Case:
    """What a row says: its last question, the code of its last answer, the tests under a key."""
    texts = said(row)
    question = texts.asked[-1] if texts.asked else ""
    answer = texts.answered[-1]
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


def _tests(value: Any) -> str | None:
    """Text, or a list of texts as a table of problems has them."""
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        value = "\n".join(value)
    return value if isinstance(value, str) and value.strip() else None


def _solution(question: str, answer: str) -> str:
    """The answer's code; where it only goes on with the code of the question, both."""
    code = code_of(answer, *_PYTHON)
    if parsed(code) is None:
        together = f"{code_of(question, *_PYTHON).rstrip()}\n{code}"
        return together if parsed(together) is not None else code
    return code
