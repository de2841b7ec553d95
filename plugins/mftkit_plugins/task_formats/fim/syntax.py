"""Places of the nodes of Python code in its text."""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

from mftkit_plugins.python_code import parsed

LONGEST = 200_000
"""Characters of a text that is parsed; more would take seconds."""
_LINE = re.compile(r"\r\n|\r|\n")


class Span(NamedTuple):
    """A stretch of a text, [start, end) in characters."""

    start: int
    end: int


@lru_cache(maxsize=1)  # the splits of a row follow one another
def syntax_spans(text: str) -> dict[str, list[Span]]:
    """Return the spans of whole statements, bodies, expressions and lists of arguments, by these kinds.

    Empty if the text does not parse as Python.
    """
    if len(text) > LONGEST:
        return {}
    tree = parsed(text)
    if tree is None:
        return {}
    places = _Places(text)
    found: dict[str, set[Span]] = {"statement": set(), "body": set(), "expression": set(), "arguments": set()}
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt):
            found["statement"].add(places.span([node]))
        elif isinstance(node, ast.expr) and not isinstance(node, ast.JoinedStr | ast.FormattedValue):
            found["expression"].add(places.span([node]))
        for kind, nodes in (("body", _body(node)), ("arguments", _arguments(node))):
            if nodes:
                found[kind].add(places.span(nodes))
    whole = Span(0, len(text))
    kinds = {kind: sorted(span for span in spans if span != whole) for kind, spans in found.items()}
    return {kind: spans for kind, spans in kinds.items() if spans}


def _body(node: ast.AST) -> list[ast.stmt]:
    """Return the statements inside a definition or a compound statement."""
    body = getattr(node, "body", None)
    if isinstance(node, ast.Module) or not isinstance(body, list):
        return []
    return [each for each in body if isinstance(each, ast.stmt)]


def _arguments(node: ast.AST) -> list[ast.expr | ast.keyword | ast.arg]:
    if isinstance(node, ast.Call):
        return [*node.args, *node.keywords]
    if isinstance(node, ast.arguments):
        own: list[ast.expr | ast.keyword | ast.arg] = [*node.posonlyargs, *node.args, *node.kwonlyargs]
        own += [each for each in (node.vararg, node.kwarg) if each is not None]
        return [*own, *node.defaults, *(each for each in node.kw_defaults if each is not None)]
    return []


class _Places:
    """Turns the parser's lines and bytes into characters."""

    def __init__(self, text: str) -> None:
        ends = [found.end() for found in _LINE.finditer(text)]
        self._starts = [0, *ends]
        self._lines = [text[start:end] for start, end in zip(self._starts, [*ends, len(text)], strict=True)]
        self._bytes: dict[int, list[int]] = {}

    def span(self, nodes: list[ast.stmt] | list[ast.expr | ast.keyword | ast.arg] | list[ast.expr]) -> Span:
        """Return the span from the first of some nodes to the last, with the decorators of a definition."""
        starts, ends = [], []
        for node in nodes:
            starts.append(self._place(node.lineno, node.col_offset))
            starts += [
                self._place(each.lineno, each.col_offset) - 1 for each in getattr(node, "decorator_list", [])
            ]
            assert node.end_lineno is not None, "a parsed node has an end"
            assert node.end_col_offset is not None, "a parsed node has an end"
            ends.append(self._place(node.end_lineno, node.end_col_offset))
        return Span(min(starts), max(ends))

    def _place(self, line: int, column: int) -> int:
        text = self._lines[line - 1]
        if text.isascii():
            return self._starts[line - 1] + column
        if line not in self._bytes:
            self._bytes[line] = list(accumulate((len(char.encode()) for char in text), initial=0))
        return self._starts[line - 1] + self._bytes[line].index(column)
