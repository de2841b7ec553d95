"""Code in texts: blocks between fences, docstrings, what parses."""

from __future__ import annotations

import ast
import re
import warnings
from typing import NamedTuple

_FENCE = re.compile(r"^[ \t]*```[ \t]*([\w+#.-]*)[^\n]*\n(.*?)^[ \t]*```[ \t]*$", re.MULTILINE | re.DOTALL)
_OPEN = re.compile(r"^[ \t]*```[ \t]*([\w+#.-]*)[^\n]*\n(.*)\Z", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """Code between fences."""

    language: str
    """As the fence says, in lower case; empty where it says nothing."""
    code: str


def blocks(text: str) -> list[Block]:
    r"""The blocks between fences, one that is not closed too.

    >>> blocks("Here:\n```Python\nx = 1\n```\nand that is it")
    [Block(language='python', code='x = 1\n')]
    """
    found = [Block(match[1].lower(), match[2]) for match in _FENCE.finditer(text)]
    left = _OPEN.search(_FENCE.sub("", text))
    return [*found, Block(left[1].lower(), left[2])] if left else found


def without_blocks(text: str) -> str:
    """The prose around the blocks."""
    return _OPEN.sub("", _FENCE.sub("\n", text))


def code_of(text: str, *languages: str) -> str:
    """The code in a text: its blocks of these languages or of none named, joined; without any block, all of it."""
    found = blocks(text)
    if not found:
        return text
    return "\n\n".join(block.code for block in found if block.language in ("", *languages))


def parsed(code: str) -> ast.Module | None:
    """The syntax tree of Python code; None of what is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes in somebody's code
            return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def canonical(code: str) -> str:
    r"""Python code in one way of writing it, without comments; what does not parse stays as it is.

    >>> canonical("if(x ==1) :\n  y = (x)  # as is")
    'if x == 1:\n    y = x'
    """
    tree = parsed(code)
    try:
        return code if tree is None else ast.unparse(tree)
    except RecursionError:
        return code


def docstrings(code: str) -> list[str]:
    """The docstrings in Python code; of code that does not parse, the texts between three quotes."""
    tree = parsed(code)
    if tree is None:
        return [
            match[1] or match[2] for match in re.finditer(r'"{3}(.*?)"{3}|\'{3}(.*?)\'{3}', code, re.DOTALL)
        ]
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = (ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, kinds))
    return [text for text in found if text]
