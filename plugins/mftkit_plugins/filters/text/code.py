"""Python code in texts: the code of an answer, one canonical layout, docstrings."""

from __future__ import annotations

import ast
import re

from mftkit import answer_code, code_blocks, split_reasoning
from mftkit_plugins.python_code import TooDeepError, parsed, unparsed


def all_code(text: str, language: str) -> str:
    """Return all code in a text: its fenced blocks in a language or without any, joined.

    A text without any fenced block is returned whole.
    """
    found = code_blocks(text)
    if not found:
        return text
    return "\n\n".join(block.code for block in found if not block.language or block.is_in(language))


def code_that_answers(text: str, language: str) -> str:
    """Return the code of an answer (see ``mftkit.answer_code``); an answer without any fenced block is code itself."""
    code = answer_code(text, language)
    if code is not None:
        return code
    answer = split_reasoning(text).answer
    return "" if code_blocks(answer) else answer


LONGEST_PARSED = 200_000
"""Characters of code that texts are compared by its syntax tree; minified code and tables of several megabytes are
compared by their tokens alone, because trees of them take long and much memory."""


def canonical(code: str) -> str:
    r"""Return Python code in one canonical layout, without comments.

    Code that does not parse, is too deep to be written, or is longer than ``LONGEST_PARSED``, is unchanged.

    >>> canonical("if(x ==1) :\n  y = (x)  # as is")
    'if x == 1:\n    y = x'
    """
    tree = parsed(code) if len(code) <= LONGEST_PARSED else None
    try:
        return code if tree is None else unparsed(tree)
    except TooDeepError:
        return code


def docstrings(code: str) -> list[str]:
    """Return the docstrings in Python code; if it does not parse or is very long, all triple-quoted texts."""
    tree = parsed(code) if len(code) <= LONGEST_PARSED else None
    if tree is None:
        return [
            match[1] or match[2] or ""
            for match in re.finditer(r'"{3}(.*?)"{3}|\'{3}(.*?)\'{3}', code, re.DOTALL)
        ]
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = (ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, kinds))
    return [text for text in found if text]
