"""Fenced code in a text, as Markdown writes it: the one parser for generators, filters and whoever else needs it."""

from __future__ import annotations

import re
from typing import NamedTuple

_CLOSED = re.compile(
    r"^[ \t]*(`{3,})[ \t]*([\w+#.-]*)[^\n]*\n(.*?)^[ \t]*\1[ \t]*$", re.MULTILINE | re.DOTALL
)
_OPEN = re.compile(r"^[ \t]*`{3,}[ \t]*([\w+#.-]*)[^`\n]*\n(.*)\Z", re.MULTILINE | re.DOTALL)


class CodeBlock(NamedTuple):
    """Code between fences of three or more backticks."""

    language: str
    """As written after the opening fence, in lower case; empty if nothing is written there."""
    code: str
    closed: bool = True
    """False for a block that runs to the end of the text without a closing fence."""


def code_blocks(text: str) -> list[CodeBlock]:
    r"""Return the fenced blocks of a text in order; a block that is never closed comes last.

    >>> code_blocks("Here:\n```Python\nx = 1\n```\nThat is all.")
    [CodeBlock(language='python', code='x = 1\n', closed=True)]
    """
    found = [CodeBlock(match[2].lower(), match[3]) for match in _CLOSED.finditer(text)]
    unclosed = _OPEN.search(_CLOSED.sub("", text))
    return [*found, CodeBlock(unclosed[1].lower(), unclosed[2], closed=False)] if unclosed else found


def without_code_blocks(text: str) -> str:
    """Return the prose around the fenced blocks."""
    return _OPEN.sub("", _CLOSED.sub("\n", text))
