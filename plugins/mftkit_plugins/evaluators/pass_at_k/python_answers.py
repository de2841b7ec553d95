"""How an answer becomes a Python program: a program alone, or the continuation of the problem's text."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from mftkit_plugins.filters.text.code import code_that_answers
from mftkit_plugins.python_code import parsed

if TYPE_CHECKING:
    from mftkit_plugins.evaluators.pass_at_k.forms import Ask

STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
"""Where a continuation has left the function: those of Chen et al. (arXiv 2107.03374, section 2.1)."""
_STEP = "    "


def solution(prompt: str, answer: str, entry: str, ask: Ask) -> str:
    """Return the program: of the answer's code if it defines ``entry``, else of the prompt and the code as its body.

    A body may stand without its indentation: that of a function is put before its first line or before all lines.
    """
    code = code_that_answers(answer, "python") if ask == "chat" else answer
    if _defined(code, entry):
        return f"{_before(prompt, entry)}\n{code}"
    bodies = (code, _STEP + code.lstrip(" \t"), _indented(code))
    return next((prompt + body for body in bodies if _continues(prompt, body, entry)), prompt + code)


def _defined(code: str, entry: str) -> ast.stmt | None:
    """Return the statement at the top of a program that defines a function."""
    tree = parsed(code)
    for node in reversed(tree.body if tree else []):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == entry:
            return node
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == entry for target in node.targets
        ):
            return node
    return None


def _before(prompt: str, entry: str) -> str:
    """Return imports and helpers of the prompt: what stands before the function that is asked for."""
    node = _defined(prompt, entry) or _defined(f"{prompt}\n{_STEP}pass", entry)
    if node is None:
        return ""
    first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))])
    return "\n".join(prompt.splitlines()[: first - 1])


def _continues(prompt: str, body: str, entry: str) -> bool:
    """Whether the body is the body of the function that the prompt begins."""
    node = _defined(prompt + body, entry)
    begun = prompt.rstrip()
    return node is not None and (node.end_lineno or 0) > begun.count("\n") + 1


def _indented(code: str) -> str:
    return "".join(_STEP + line if line.strip() else line for line in code.splitlines(keepends=True))
