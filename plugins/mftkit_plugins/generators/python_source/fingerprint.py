"""A function's identity: its syntax tree without what does not change what it does."""

from __future__ import annotations

import ast
from hashlib import sha256

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef

_IGNORED = frozenset(
    {"annotation", "returns", "decorator_list", "type_comment", "type_params", "ctx", "kind"}
)
_NAMES = frozenset({(ast.Name, "id"), (ast.arg, "arg"), (ast.ExceptHandler, "name")})


def fingerprint(function: FunctionNode) -> str:
    r"""32 hexadecimal digits, equal for functions that differ in nothing but names and remarks.

    Of no concern: the function's own name, its docstring, decorators, annotations, comments and layout, and
    how arguments and local variables are called (each is numbered by its first appearance). Of concern:
    all else, with the names of attributes, keywords and whatever is not bound in the function.

    >>> one, other = ast.parse("def f(a): 'Adds.'; return a + 1\ndef g(b: int): return b + 1").body
    >>> fingerprint(one) == fingerprint(other)
    True
    """
    writer = _Writer(_bound_names(function))
    writer.write(function.args)
    for statement in body_without_docstring(function):
        writer.write(statement)
    return sha256("\n".join(writer.parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def body_without_docstring(function: FunctionNode) -> list[ast.stmt]:
    """The statements after the docstring; all of them where there is none."""
    return function.body[1:] if docstring_node(function) else function.body


def docstring_node(function: FunctionNode) -> ast.Constant | None:
    """The docstring's own node."""
    first = function.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        return first.value if isinstance(first.value.value, str) else None
    return None


def _bound_names(function: FunctionNode) -> set[str]:
    bound: set[str] = set()
    free: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            bound.add(node.id)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.add(node.name)
        elif isinstance(node, ast.Global | ast.Nonlocal):
            free.update(node.names)
    return bound - free


class _Writer:
    """Writes a tree out in one order, bound names by number."""

    def __init__(self, bound: set[str]) -> None:
        self.parts: list[str] = []
        self._bound = bound
        self._numbers: dict[str, int] = {}

    def write(self, node: ast.AST) -> None:
        kind = type(node)
        self.parts.append(kind.__name__)
        for field in node._fields:
            if field in _IGNORED:
                continue
            value = getattr(node, field, None)
            if isinstance(value, list):
                self.parts.append(f"[{len(value)}")
                for item in value:
                    self._write_value(item)
            elif (kind, field) in _NAMES and value in self._bound:
                self.parts.append(f"#{self._numbers.setdefault(value, len(self._numbers))}")
            else:
                self._write_value(value)

    def _write_value(self, value: object) -> None:
        if isinstance(value, ast.AST):
            self.write(value)
        else:
            self.parts.append(repr(value))
