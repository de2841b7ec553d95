"""How an answer in C++, Java or JavaScript becomes a program, and where its tests say that they have ended."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import mftkit

if TYPE_CHECKING:
    from mftkit_plugins.evaluators.pass_at_k.forms import Ask

STOPS = {
    "cpp": ("\nint main", "\n#include", "\nvoid main"),
    "java": ("\npublic class Main", "\nclass Main", "\nimport "),
    "javascript": ("\nconsole.log", "\nmodule.exports", "\nconst test"),
}
_NAME = {
    "cpp": re.compile(r"\b(\w+)\s*\([^(){}]*\)\s*\{"),
    "java": re.compile(r"\b(\w+)\s*\([^(){}]*\)\s*(?:throws\s+[\w., ]+)?\{"),
    "javascript": re.compile(r"(?:const|let|var|function)\s+(\w+)"),
}
_QUOTED = re.compile(
    r'"(?:\\.|[^"\\\n])*"' r"|'(?:\\.|[^'\\\n])*'" r"|//[^\n]*" r"|/\*.*?(?:\*/|\Z)" r"|[{}]", re.DOTALL
)
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_USUAL = "".join(
    f"#include <{name}>\n"
    for name in (
        "algorithm",
        "climits",
        "cmath",
        "cstdio",
        "cstdlib",
        "cstring",
        "iostream",
        "string",
        "vector",
    )
)
"""Headers that answers in C++ use without naming them; the benchmark gives them, too."""
_THROWS = (
    "console.assert = (right, ...more) => { if (!right) throw new Error(`Assertion failed ${more}`) };\n"
)


def program(language: str, prompt: str, name: str, answer: str, ask: Ask) -> str:
    """Return the program without tests: the answer's code if it defines the function ``name``, else the prompt and it.

    Imports and helpers of the prompt are put before an answer that stands alone, unless it defines the helpers itself.
    """
    usual = _USUAL if language == "cpp" else ""
    if ask == "completion":
        return usual + _completed(language, prompt, answer)
    code = mftkit.answer_code(answer, language, other_languages=True) or answer
    if not name or not _defines(code, name):
        return usual + _completed(language, prompt, code)
    head = _head(prompt, name)
    if language == "java":
        head = re.sub(r"class\s+Solution\s*\{.*", "", head, flags=re.DOTALL)
        inside = re.search(r"\bclass\s+Solution\b", code)
        return f"{head}\n{code}" if inside else f"{head}\nclass Solution {{\n{code}\n}}"
    if set(_NAME[language].findall(_COMMENT.sub("", head))) & set(_NAME[language].findall(code)):
        head = "\n".join(line for line in head.splitlines() if line.startswith(("#", "using ")))
    return f"{usual}{head}\n{code}"


def _defines(code: str, name: str) -> bool:
    """Whether a brace follows a function's name and "(" or "=", with no semicolon between them."""
    begun = re.compile(rf"\b{re.escape(name)}\b\s*[=(]")
    parts = ((part, begun.search(part)) for part in code.split(";"))
    return any(found is not None and "{" in part[found.end() :] for part, found in parts)


def function_name(language: str, declaration: str) -> str:
    """Return the name of the function that a declaration begins: its last one; empty if there is none."""
    return next(reversed(_NAME[language].findall(declaration)), "")


def with_mark(language: str, test: str, word: str) -> str:
    """Return the tests, with a statement behind the last one that prints a word."""
    if language == "javascript":
        return f"{_THROWS}{test}\nconsole.log('\\n{word}')\n"
    ends = [found.start() for found in _QUOTED.finditer(test) if found[0] == "}"]
    at = ends[-2] if language == "java" and len(ends) > 1 else ends[-1] if ends else len(test)
    print_ = {"cpp": f'\nputs("\\n{word}");\n', "java": f'\nSystem.out.println("\\n{word}");\n'}[language]
    return f"{test[:at]}{print_}{test[at:]}"


def _completed(language: str, prompt: str, body: str) -> str:
    """Return the prompt with the body up to the brace that ends it; Java's class is closed if it is left open."""
    text = prompt + body
    depth = least = 0
    for found in _QUOTED.finditer(text):
        depth += {"{": 1, "}": -1}.get(found[0], 0)
        least = 1 if language == "java" and found[0] == "{" and not least else least
        if found[0] == "}" and depth <= 0 and found.end() > len(prompt):
            rest = text[found.end() :]
            return text[: found.end()] + (";" if language == "javascript" and rest[:1] == ";" else "")
    return text + "\n}" if least and depth == 1 else text


def _head(prompt: str, name: str) -> str:
    """Return the lines of a prompt before the function: includes, imports and helpers."""
    lines = prompt.splitlines()
    at = max((n for n, line in enumerate(lines) if re.search(rf"\b{re.escape(name)}\b", line)), default=0)
    return "\n".join(lines[:at])
