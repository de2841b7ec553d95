"""Stubs of a solution: the same names with empty bodies. Tests that a stub passes test nothing."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from mftkit_plugins.python_code import on_trees, parsed, unparsed

if TYPE_CHECKING:
    from collections.abc import Callable

_KEPT = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)


def stubs(solution: str) -> list[str]:
    """Return two stubs: every function body raises NotImplementedError, or every body returns None.

    Empty if the solution has no function. Other statements outside of functions are kept, but their exceptions are
    caught: a stub must fail in its tests, not before them. Raises TooDeepError.
    """
    made = []
    for body in (_raises, _passes):
        tree = parsed(solution)
        if tree is None or not any(map(_is_function, ast.walk(tree))):
            return []
        with on_trees():
            tree = _Emptied(body).visit(tree)
        tree.body = [
            node if isinstance(node, _KEPT) or _is_docstring(node) else _guarded(node) for node in tree.body
        ]
        made.append(unparsed(tree))
    return made


def functions(solution: str) -> list[str]:
    """Return the names of the functions and classes that a solution defines, in order."""
    tree = parsed(solution)
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return [] if tree is None else [node.name for node in tree.body if isinstance(node, kinds)]


class _Emptied(ast.NodeTransformer):
    def __init__(self, body: Callable[[], ast.stmt]) -> None:
        self._body = body

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.body = [self._body()]
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.body = [self._body()]
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        node.body = ast.Constant(None)
        return node


def _raises() -> ast.stmt:
    return ast.Raise(exc=ast.Name("NotImplementedError", ast.Load()), cause=None)


def _passes() -> ast.stmt:
    return ast.Pass()


def _is_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def _is_docstring(node: ast.stmt) -> bool:
    """Return True for a bare constant, which may have to come first in a module."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _guarded(node: ast.stmt) -> ast.stmt:
    caught = ast.ExceptHandler(type=ast.Name("Exception", ast.Load()), name=None, body=[ast.Pass()])
    return ast.Try(body=[node], handlers=[caught], orelse=[], finalbody=[])
