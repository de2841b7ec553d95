"""Inserts small bugs into a function's text, located by its syntax tree; the rest of the text is unchanged."""

from __future__ import annotations

import ast
import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mftkit_plugins.generators.python_source.fingerprint import FunctionNode, body_without_docstring
from mftkit_plugins.python_code import on_trees, parsed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_COMPARISONS: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}
_ARITHMETIC: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "+"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "/"),
    ast.Mod: ("%", "//"),
    ast.LShift: ("<<", ">>"),
    ast.RShift: (">>", "<<"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
}


@dataclass(frozen=True, order=True)
class Mutation:
    """Replace ``text[start:end]``."""

    kind: str
    start: int
    end: int
    replacement: str

    def apply(self, text: str) -> str:
        """Return the text with the bug."""
        return text[: self.start] + self.replacement + text[self.end :]


def mutate(text: str, seed: str) -> str | None:
    """Return the function with one bug, the same for the same seed; None if there is no place for one.

    Raises TooDeepError.

    The kind of bug is drawn first, then its place, so that frequent kinds do not crowd out rare ones.
    """
    by_kind: dict[str, list[Mutation]] = {}
    with on_trees():
        for mutation in mutations(text):
            by_kind.setdefault(mutation.kind, []).append(mutation)
    draw = random.Random(seed)
    original = _dumped(text) if by_kind else None
    for kind in draw.sample(sorted(by_kind), len(by_kind)):
        places = sorted(by_kind[kind])
        for place in draw.sample(places, len(places)):
            mutated = place.apply(text)
            if _dumped(mutated) not in (None, original):
                return mutated
    return None


def _dumped(text: str) -> str | None:
    tree = parsed(text)
    with on_trees():
        return None if tree is None else ast.dump(tree)


def mutations(text: str) -> list[Mutation]:
    """Return every possible bug in the body of the single function in ``text``."""
    tree = parsed(text)
    if tree is None or not isinstance(tree.body[0], FunctionNode):
        return []
    place = _Places(text)
    names = _variables(tree.body[0])
    return [
        mutation
        for statement in body_without_docstring(tree.body[0])
        for node in _walk(statement)
        for mutation in _mutations_of(node, place, names)
    ]


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes with reliable positions: Python 3.11 misplaces those inside an f-string."""
    if isinstance(node, ast.JoinedStr):
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _walk(child)


def _variables(function: FunctionNode) -> list[str]:
    names = {node.arg for node in ast.walk(function.args) if isinstance(node, ast.arg)}
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return sorted(names - {"self", "cls", "_"})


def _mutations_of(node: ast.AST, place: _Places, names: list[str]) -> Iterator[Mutation]:
    match node:
        case ast.Compare():
            pairs = [_COMPARISONS[type(operator)] for operator in node.ops]
            yield from place.swap("comparison", [node.left, *node.comparators], pairs)
        case ast.BoolOp():
            pair = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
            yield from place.swap("boolean", node.values, [pair] * (len(node.values) - 1))
        case ast.BinOp() if type(node.op) in _ARITHMETIC and not (
            _is_text(node.left) or _is_text(node.right)
        ):
            yield from place.swap("arithmetic", [node.left, node.right], [_ARITHMETIC[type(node.op)]])
        case ast.Constant():
            yield from place.off_by_one(node)
        case ast.Call():
            yield from place.swapped_arguments(node)
        case ast.UnaryOp(op=ast.Not()):
            yield Mutation("negation", place.start(node), place.start(node.operand), "")
        case ast.Name(ctx=ast.Load()) if node.id in names:
            yield from place.other_variables(node, names)


def _is_text(node: ast.expr) -> bool:
    """Return True for strings: nobody mistakes the operators that format and join them."""
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
    )


class _Places:
    """Positions of nodes in the text, in characters (the tree counts lines, and bytes of UTF-8 in them)."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._lines = text.split("\n")
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line) + 1)

    def start(self, node: ast.expr) -> int:
        """Return the index of the first character."""
        return self._offset(node.lineno, node.col_offset)

    def end(self, node: ast.expr) -> int:
        """Return the index after the last character."""
        return self._offset(node.end_lineno or node.lineno, node.end_col_offset or node.col_offset)

    def _offset(self, line: int, column: int) -> int:
        text = self._lines[line - 1]
        if not text.isascii():
            column = len(text.encode()[:column].decode())
        return self._starts[line - 1] + column

    def _source(self, node: ast.expr) -> str:
        return self._text[self.start(node) : self.end(node)]

    def swap(
        self, kind: str, operands: Sequence[ast.expr], pairs: list[tuple[str, str]]
    ) -> Iterator[Mutation]:
        """Yield another operator between neighbors, if only brackets and white space surround it."""
        for left, right, (old, new) in zip(operands, operands[1:], pairs, strict=False):
            start, end = self.end(left), self.start(right)
            spelled = r"\s+".join(map(re.escape, old.split()))
            found = re.fullmatch(rf"[\s)\\]*?({spelled})[\s(\\]*", self._text[start:end])
            if found:
                yield Mutation(kind, start + found.start(1), start + found.end(1), new)

    def off_by_one(self, node: ast.Constant) -> Iterator[Mutation]:
        """Yield a decimal integer plus one and minus one."""
        written = self._source(node)
        if type(node.value) is int and written == str(node.value):
            for value in (node.value - 1, node.value + 1):
                if value >= 0:
                    yield Mutation("constant", self.start(node), self.end(node), str(value))

    def swapped_arguments(self, node: ast.Call) -> Iterator[Mutation]:
        """Yield two neighboring arguments swapped."""
        for first, second in zip(node.args, node.args[1:], strict=False):
            one, other = self._source(first), self._source(second)
            if one != other and not isinstance(first, ast.Starred) and not isinstance(second, ast.Starred):
                between = self._text[self.end(first) : self.start(second)]
                yield Mutation("arguments", self.start(first), self.end(second), f"{other}{between}{one}")

    def other_variables(self, node: ast.Name, names: list[str]) -> Iterator[Mutation]:
        """Yield every other local variable in place of the one that is read."""
        for name in names:
            if name != node.id:
                yield Mutation("variable", self.start(node), self.end(node), name)
