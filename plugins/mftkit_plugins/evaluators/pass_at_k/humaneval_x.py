"""Problems of HumanEval-X (Zheng et al., arXiv 2303.17568): HumanEval in several languages."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import mftkit
from mftkit_plugins.evaluators.execution.sandbox import place
from mftkit_plugins.evaluators.execution.toolchains import require_toolchain, run_program
from mftkit_plugins.evaluators.pass_at_k import other_languages
from mftkit_plugins.evaluators.pass_at_k.forms import Form, asked, tested, text_of, verdict
from mftkit_plugins.evaluators.pass_at_k.python_answers import STOPS, solution

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mftkit_plugins.evaluators.execution.sandbox import Sandbox
    from mftkit_plugins.evaluators.pass_at_k.forms import Ask

LANGUAGES = {
    "python": "python",
    "cpp": "cpp",
    "c++": "cpp",
    "java": "java",
    "javascript": "javascript",
    "js": "javascript",
}
REFUSED = {"go": "the package testify", "rust": "the crates rand, regex and md5"}
COMPLETE = """\
Complete this {language} code. Reply with the whole function in one block of code.

```{language}
{prompt}
```"""
_PYTHON_FUNCTION = re.compile(r"^def\s+(\w+)", re.MULTILINE)


class HumanEvalX(Form):
    """HumanEval-X: ``declaration`` begins the function, ``test`` calls it; the language is that of ``task_id``.

    In Python the verdict is taken as for HumanEval. In other languages a test program is one process with the answer:
    it passes by its exit code, and only if it prints a word that stands behind the last test.
    """

    name = "HumanEval-X"
    marks = ("declaration", "test")
    needs = ("task_id", "prompt", "declaration", "test")

    def check_row(self, row: mftkit.EvaluationRow) -> None:
        """Raise MftError for a language that cannot be evaluated."""
        prefix = _prefix(row)
        if prefix in REFUSED:
            raise mftkit.MftError(
                f"pass-at-k: {place(row)}: tests of HumanEval-X in {prefix} need {REFUSED[prefix]}, which no executor "
                "has; take these rows away"
            )
        if prefix not in LANGUAGES:
            known = ", ".join(dict.fromkeys(LANGUAGES.values()))
            raise mftkit.MftError(
                f'pass-at-k: {place(row)}: "task_id" must begin with a language ({known}), such as "CPP/0"'
            )

    def check(self, rows: Sequence[mftkit.EvaluationRow], sandbox: Sandbox) -> None:
        """Also try the toolchain of each language in the executor."""
        super().check(rows, sandbox)
        for language in dict.fromkeys(map(_language, rows)):
            if language != "python":
                require_toolchain(language, sandbox, "pass-at-k")

    def prompt(self, row: mftkit.EvaluationRow, ask: Ask) -> mftkit.EvaluationPrompt:
        """Return the text to be continued, or a question that quotes it."""
        language, text = _language(row), text_of(row, "prompt")
        if ask == "chat":
            return asked(COMPLETE.format(language=language, prompt=text.strip()))
        return mftkit.EvaluationPrompt(
            text=text, stop=STOPS if language == "python" else other_languages.STOPS[language]
        )

    def verdict(self, row: mftkit.EvaluationRow, answer: str, ask: Ask, sandbox: Sandbox) -> mftkit.Verdict:
        """Run the tests with the answer."""
        language, test = _language(row), text_of(row, "test")
        if language == "python":
            entry = next(reversed(_PYTHON_FUNCTION.findall(text_of(row, "declaration"))), "")
            return tested(solution(text_of(row, "prompt"), answer, entry, ask), test, entry, sandbox)
        name = other_languages.function_name(language, text_of(row, "declaration"))
        program = other_languages.program(language, text_of(row, "prompt"), name, answer, ask)
        # The same every time; the answer was written without knowing it.
        word = hashlib.sha256(f"{row.id}\n{program}".encode("utf-8", "surrogatepass")).hexdigest()[:24]
        source = f"{program}\n{other_languages.with_mark(language, test, word)}\n"
        flags = ("-lcrypto", "-lssl") if "openssl/" in source else ()
        [done] = run_program(language, source, [""], sandbox, flags)
        ended = word in done.out.split()
        note = done.trouble or ("" if ended else "it ended before the last test")
        return verdict(not note, note, {"way": "exit code"})


def _prefix(row: mftkit.EvaluationRow) -> str:
    return str(row.row.get("task_id", "")).partition("/")[0].lower()


def _language(row: mftkit.EvaluationRow) -> str:
    return LANGUAGES[_prefix(row)]
