"""Mutants of a solution: one small change each. Tests worth something notice most of them."""

from __future__ import annotations

import ast
import random
from itertools import islice
from typing import TYPE_CHECKING

from mftkit_plugins.python_code import TooDeepError, parsed, unparsed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
}
_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}


def mutants(solution: str, number: int, seed: int) -> list[str]:
    """Return up to ``number`` mutants, drawn with ``seed``: each parses, differs from the solution and the others.

    Raises TooDeepError: the solution cannot be written, so neither can its mutants.
    """
    tree = parsed(solution)
    if tree is None or number < 1:
        return []
    places = [
        (place, change)
        for place, node in enumerate(ast.walk(tree))
        for change in range(len(list(_changes(node))))
    ]
    random.Random(seed).shuffle(places)
    found: dict[str, None] = {}
    original = unparsed(tree)
    for place, change in places:
        if len(found) == number:
            break
        text = _mutant(solution, place, change)
        if text is not None and text != original and parsed(text) is not None:
            found[text] = None
    return list(found)


def _mutant(solution: str, place: int, change: int) -> str | None:
    """Return the solution with one change of the node at a place of its walk; None if that cannot be written."""
    tree = parsed(solution)
    if tree is None:  # it has been parsed before, with a frame less on the stack
        return None
    node = next(islice(ast.walk(tree), place, None))
    list(_changes(node))[change]()
    try:
        return unparsed(tree)
    except TooDeepError:
        return None


def _changes(node: ast.AST) -> Iterator[Callable[[], None]]:
    """Yield functions that each change a node in one way."""
    if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in _OPERATORS:
        yield lambda: setattr(node, "op", _OPERATORS[type(node.op)]())
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARISONS:
        yield lambda: setattr(node, "ops", [_COMPARISONS[type(node.ops[0])](), *node.ops[1:]])
    if isinstance(node, ast.BoolOp):
        yield lambda: setattr(node, "op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        yield lambda: setattr(node, "test", ast.UnaryOp(ast.Not(), node.test))
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield lambda: setattr(node, "value", not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield lambda: setattr(node, "value", node.value + 1)  # type: ignore[operator]
    if isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
        yield lambda: setattr(node, "value", ast.Constant(None))


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
