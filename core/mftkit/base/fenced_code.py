"""Fenced code in a text, found by a CommonMark parser: the one parser for everything that reads fenced code."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection

    from markdown_it import MarkdownIt

_LANGUAGE = re.compile(r"[{.\s]*([\w+#.-]*)")
LINE_END = re.compile(r"\r\n?|\n")
"""The end of a line in CommonMark."""


class FencedCode(NamedTuple):
    """Code between fences of three or more backticks or tildes."""

    language: str
    """The first word after the opening fence, in lower case; empty if there is none."""
    code: str
    """Without the indentation of the list or quote that the block stands in; every line ends with one ``\\n``."""
    closed: bool
    """False for a block that runs to the end of the text, or of its list or quote, without a closing fence."""
    lines: tuple[int, int]
    """The lines of the text that the block and its fences take: the first one, and the one after the last."""


@lru_cache(maxsize=4)  # one text is asked for several times in a row
def fenced_code(text: str) -> tuple[FencedCode, ...]:
    """Return the fenced blocks of a text in order, at any depth of lists and quotes.

    A fence may not be indented by more than three spaces in CommonMark. Models indent whole answers by more, so if no
    fence is found, deeper ones are taken too. Raw HTML, in which CommonMark sees no fences, is text here.
    """
    if "```" not in text and "~~~" not in text:
        return ()
    return tuple(_blocks(text, ("code",)) or _blocks(text, ()))


def _blocks(text: str, more_rules: Collection[str]) -> list[FencedCode]:
    found = []
    for token in _parser(*more_rules).parse(text):
        if token.type == "fence" and token.map is not None:
            start, end = token.map
            lines = token.content.count("\n") + (not token.content.endswith("\n") and token.content != "")
            language = _LANGUAGE.match(token.info)
            name = language[1].lower() if language else ""
            found.append(FencedCode(name, token.content, lines == end - start - 2, (start, end)))
    return found


@cache
def _parser(*more_rules: str) -> MarkdownIt:
    """Return a parser of blocks alone: the text in them is not parsed, which is slow and of no use here."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("zero").enable(["fence", "list", "blockquote", *more_rules])
    parser.core.ruler.enableOnly(["normalize", "block"])
    return parser
