"""Problems of MBPP (Austin et al., arXiv 2108.07732)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mftkit
from mftkit_plugins.evaluators.execution.sandbox import place
from mftkit_plugins.evaluators.pass_at_k.forms import Form, asked, tested, text_of
from mftkit_plugins.filters.text.code import code_that_answers
from mftkit_plugins.python_code import parsed

if TYPE_CHECKING:
    from mftkit_plugins.evaluators.execution.sandbox import Sandbox
    from mftkit_plugins.evaluators.pass_at_k.forms import Ask

STOPS = ("\nclass Test", "\nassert", '\n"""', "\n'''", "\nprint", "\nif __name__", "\n#", "\n```")
ASK = """\
{text}
Your code should satisfy these tests:
{tests}"""


class Mbpp(Form):
    """MBPP: a sentence, the reference ``code``, and assertions in ``test_list``."""

    name = "MBPP"
    marks = ("test_list",)
    needs = ("test_list",)

    def __init__(self, challenge: bool) -> None:
        self._challenge = challenge

    def check_row(self, row: mftkit.EvaluationRow) -> None:
        """Raise MftError for a row without a sentence, or with tests that do not parse."""
        if not text_of(row, "text", "prompt"):
            raise mftkit.MftError(
                f'pass-at-k: {place(row)} has the form MBPP, but neither "text" nor "prompt"; complete the row'
            )
        if not text_of(row, "test_list") or parsed(self._tests(row)) is None:
            raise mftkit.MftError(
                f"pass-at-k: {place(row)}: its test_list is no list of Python assertions; correct it"
            )

    def prompt(self, row: mftkit.EvaluationRow, ask: Ask) -> mftkit.EvaluationPrompt:
        """Return the sentence with its tests, in a docstring for a model that continues text."""
        text = ASK.format(text=text_of(row, "text", "prompt").strip(), tests=text_of(row, "test_list"))
        if ask == "completion":
            return mftkit.EvaluationPrompt(text=f'"""\n{text}\n"""\n', stop=STOPS)
        return asked(f"{text}\nReply with one block of Python code.")

    def verdict(self, row: mftkit.EvaluationRow, answer: str, ask: Ask, sandbox: Sandbox) -> mftkit.Verdict:
        """Run the assertions with the answer's code."""
        code = code_that_answers(answer, "python") if ask == "chat" else answer
        return tested(code, self._tests(row), "", sandbox)

    def _tests(self, row: mftkit.EvaluationRow) -> str:
        keys = ("test_imports", "test_setup_code", "test_list")
        more = ("challenge_test_list",) if self._challenge else ()
        return "\n".join(text_of(row, key) for key in (*keys, *more))
