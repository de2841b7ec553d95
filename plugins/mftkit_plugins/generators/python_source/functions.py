"""The functions in one source text, and the reasons why others are left out."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mftkit_plugins.generators.python_source.fingerprint import (
    FunctionNode,
    body_without_docstring,
    docstring_node,
    fingerprint,
)
from mftkit_plugins.python_code import TooDeepError, parsed

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

LONGEST = 20_000
"""Maximum length in characters; a longer function is a table or a test bed."""

_GENERATED = re.compile(
    r"auto-?generated|do not edit|generated (by|from|with)\s.*\.(py|txt|c|h)\b|file (is|was) generated",
    re.IGNORECASE,
)
"""Text near the top of files that were written by a program."""


@dataclass(frozen=True)
class Function:
    """One function or method as written, from ``def`` on, without indentation."""

    id: str
    """Its place: ``label:line name``."""
    group: str
    """Its fingerprint."""
    name: str
    text: str
    docstring: str | None
    """The docstring without indentation; None if it does not stand on separate lines."""
    docstring_lines: tuple[int, int]
    """First line, and the line after the last; (0, 0) if ``docstring`` is None."""

    @property
    def head(self) -> str:
        """Signature and docstring, ending with a newline."""
        return "\n".join(self.text.split("\n")[: self.docstring_lines[1]]) + "\n"

    @property
    def body(self) -> str:
        """Everything after the docstring."""
        return "\n".join(self.text.split("\n")[self.docstring_lines[1] :]).lstrip("\n")

    @property
    def text_without_docstring(self) -> str:
        """Signature and body."""
        signature = "\n".join(self.text.split("\n")[: self.docstring_lines[0]])
        return f"{signature}\n{self.body}"


def functions_of(source: str, label: str, dropped: Counter[str]) -> list[Function]:
    """Return the functions and methods of a module, except nested ones; reasons are counted in ``dropped``."""
    if _GENERATED.search(source[:2000]):
        dropped["generated_files"] += 1
        return []
    tree = parsed(source)
    if tree is None:
        dropped["unparsable_files"] += 1
        return []
    lines = source.split("\n")
    found = []
    for node in _definitions(tree):
        function = _function(node, lines, label)
        if isinstance(function, Function):
            found.append(function)
        else:
            dropped[function] += 1
    return found


def _definitions(tree: ast.Module) -> Iterator[FunctionNode]:
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, FunctionNode):
            yield node
        elif node is tree or (
            isinstance(node, ast.stmt | ast.ExceptHandler) and not isinstance(node, ast.Expr | ast.Assign)
        ):
            waiting += reversed(list(ast.iter_child_nodes(node)))


def _function(node: FunctionNode, lines: list[str], label: str) -> Function | str:
    """Return the function, or the reason why it is left out."""
    if all(_is_empty(statement) for statement in body_without_docstring(node)):
        return "trivial"
    own = lines[node.lineno - 1 : node.end_lineno]
    indent = own[0][: node.col_offset]
    if not all(line.startswith(indent) or not line.strip() for line in own):
        return "irregular_indentation"
    text = "\n".join(line.removeprefix(indent) for line in own).rstrip()
    if len(text) > LONGEST:
        return "overlong"
    docstring, span = _docstring(node, lines)
    try:
        group = fingerprint(node)
    except TooDeepError:
        return "too_deep"
    return Function(f"{label}:{node.lineno} {node.name}", group, node.name, text, docstring, span)


def _is_empty(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Raise):
        raised = statement.exc.func if isinstance(statement.exc, ast.Call) else statement.exc
        return isinstance(raised, ast.Name) and raised.id in ("NotImplementedError", "NotImplemented")
    if isinstance(statement, ast.Return):
        return statement.value is None or isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


def _docstring(node: FunctionNode, lines: list[str]) -> tuple[str | None, tuple[int, int]]:
    """Return the docstring and its lines, if it can be cut out by lines."""
    constant = docstring_node(node)
    if constant is None or constant.end_lineno is None or not str(constant.value).strip():
        return None, (0, 0)
    alone = not lines[constant.lineno - 1][: constant.col_offset].strip()
    if not alone or node.body[1].lineno <= constant.end_lineno:
        return None, (0, 0)
    start, end = constant.lineno - node.lineno, constant.end_lineno - node.lineno + 1
    return inspect.cleandoc(str(constant.value)), (start, end)
