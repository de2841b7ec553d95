"""Problems of HumanEval, and rows in the form of this project's own data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mftkit
from mftkit_plugins.evaluators.execution.sandbox import place
from mftkit_plugins.evaluators.pass_at_k.forms import Form, asked, tested, text_of
from mftkit_plugins.evaluators.pass_at_k.python_answers import STOPS, solution
from mftkit_plugins.filters.text.code import all_code, code_that_answers
from mftkit_plugins.python_code import parsed

if TYPE_CHECKING:
    from mftkit_plugins.evaluators.execution.sandbox import Sandbox
    from mftkit_plugins.evaluators.pass_at_k.forms import Ask

COMPLETE = """\
Complete this Python function. Reply with the whole function in one block of Python code.

```python
{prompt}
```"""


class HumanEval(Form):
    """HumanEval: ``prompt`` begins the function ``entry_point``, and ``test`` defines ``check(candidate)``."""

    name = "HumanEval"
    marks = ("entry_point", "test")
    needs = ("prompt", "entry_point", "test")

    def check_row(self, row: mftkit.EvaluationRow) -> None:
        """Raise MftError for tests that define no ``check``."""
        test = text_of(row, "test")
        if "def check" not in test or parsed(test) is None:
            raise mftkit.MftError(
                f'pass-at-k: {place(row)}: "test" is no Python code that defines check(candidate), so there is nothing '
                "to run; correct it"
            )

    def prompt(self, row: mftkit.EvaluationRow, ask: Ask) -> mftkit.EvaluationPrompt:
        """Return the text to be continued, or a question that quotes it."""
        text = text_of(row, "prompt")
        if ask == "completion":
            return mftkit.EvaluationPrompt(text=text, stop=STOPS)
        return asked(COMPLETE.format(prompt=text.strip()))

    def verdict(self, row: mftkit.EvaluationRow, answer: str, ask: Ask, sandbox: Sandbox) -> mftkit.Verdict:
        """Run ``check`` on the answer's function."""
        entry = text_of(row, "entry_point")
        program = solution(text_of(row, "prompt"), answer, entry, ask)
        return tested(program, text_of(row, "test"), entry, sandbox)


class Rows(Form):
    """A row of any format with a question, and Python tests under "tests", as the filter verification reads them."""

    name = "row with tests"
    marks = ("tests",)
    needs = ("tests",)

    def check_row(self, row: mftkit.EvaluationRow) -> None:
        """Raise MftError for tests that do not parse."""
        if parsed(text_of(row, "tests")) is None or not text_of(row, "tests"):
            raise mftkit.MftError(
                f'pass-at-k: {place(row)}: "tests" is no Python code; give assertions or test functions'
            )

    def prompt(self, row: mftkit.EvaluationRow, ask: Ask) -> None:
        """Ask the row's own question, as it would be trained."""

    def verdict(self, row: mftkit.EvaluationRow, answer: str, ask: Ask, sandbox: Sandbox) -> mftkit.Verdict:  # noqa: ARG002
        """Run the row's tests with the answer's code, after the question's code if it continues that."""
        code = code_that_answers(answer, "python")
        together = f"{all_code(row.question, 'python').rstrip()}\n{code}"
        program = together if parsed(code) is None and parsed(together) is not None else code
        return tested(program, text_of(row, "tests"), text_of(row, "entry_point"), sandbox)
