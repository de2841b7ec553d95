"""Identity of a function: its syntax tree without everything that does not affect its behavior."""

from __future__ import annotations

import ast
from hashlib import sha256

from mftkit_plugins.python_code import on_trees

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef

_IGNORED = frozenset(
    {"annotation", "returns", "decorator_list", "type_comment", "type_params", "ctx", "kind"}
)
_NAMES = frozenset({(ast.Name, "id"), (ast.arg, "arg"), (ast.ExceptHandler, "name")})


def fingerprint(function: FunctionNode) -> str:
    r"""Return 32 hexadecimal digits that are equal for functions that differ only in names and remarks.

    Ignored: the function's own name, its docstring, decorators, annotations, comments and layout, and the names of
    arguments and local variables (each is numbered by its first appearance). Everything else matters, including the
    names of attributes, keywords and whatever is not bound in the function. Raises TooDeepError.

    >>> one, other = ast.parse("def f(a): 'Adds.'; return a + 1\ndef g(b: int): return b + 1").body
    >>> fingerprint(one) == fingerprint(other)
    True
    """
    writer = _Writer(_bound_names(function))
    with on_trees():
        writer.write(function.args)
        for statement in body_without_docstring(function):
            writer.write(statement)
    return sha256("\n".join(writer.parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def body_without_docstring(function: FunctionNode) -> list[ast.stmt]:
    """Return the statements after the docstring; all of them if there is none."""
    return function.body[1:] if docstring_node(function) else function.body


def docstring_node(function: FunctionNode) -> ast.Constant | None:
    """Return the node of the docstring, or None if there is none."""
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
    """Writes a tree in a fixed order, with bound names as numbers."""

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
