"""The functions of one source text, with the reason why each of the others is left out."""

from __future__ import annotations

import ast
import inspect
import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mftkit_plugins.generators.python_source.fingerprint import (
    FunctionNode,
    body_without_docstring,
    docstring_node,
    fingerprint,
)

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

LONGEST = 20_000
"""Characters; a longer function is a table or a test bed, and is not looked at further."""

_GENERATED = re.compile(
    r"auto-?generated|do not edit|generated (by|from|with)\s.*\.(py|txt|c|h)\b|file (is|was) generated",
    re.IGNORECASE,
)
"""Said near the top of a file that a program wrote."""


@dataclass(frozen=True)
class Function:
    """One function or method as it was written, from ``def`` on, shifted to the left margin."""

    id: str
    """Where it was found: ``label:line name``."""
    group: str
    """Its fingerprint."""
    name: str
    text: str
    docstring: str | None
    """Cleaned of indentation; None where there is none that stands on lines of its own."""
    docstring_lines: tuple[int, int]
    """First line, and the line after the last; both numbers 0 where ``docstring`` is None."""

    @property
    def head(self) -> str:
        """Signature and docstring, ending with a newline."""
        return "\n".join(self.text.split("\n")[: self.docstring_lines[1]]) + "\n"

    @property
    def body(self) -> str:
        """All that follows the docstring."""
        return "\n".join(self.text.split("\n")[self.docstring_lines[1] :]).lstrip("\n")

    @property
    def text_without_docstring(self) -> str:
        """Signature and body."""
        signature = "\n".join(self.text.split("\n")[: self.docstring_lines[0]])
        return f"{signature}\n{self.body}"


def functions_of(source: str, label: str, dropped: Counter[str]) -> list[Function]:
    """Functions and methods of a module, except those inside functions; reasons go to ``dropped``."""
    if _GENERATED.search(source[:2000]):
        dropped["generated_files"] += 1
        return []
    tree = parse(source)
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


def parse(source: str) -> ast.Module | None:
    """The syntax tree; None where the source is not Python of this version."""
    with warnings.catch_warnings():
        # Doubtful escapes in other people's strings; whether warnings are errors must not change the data.
        warnings.simplefilter("ignore")
        try:
            return ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def _definitions(tree: ast.AST) -> Iterator[FunctionNode]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, FunctionNode):
            yield node
        elif isinstance(node, ast.stmt | ast.ExceptHandler) and not isinstance(node, ast.Expr | ast.Assign):
            yield from _definitions(node)


def _function(node: FunctionNode, lines: list[str], label: str) -> Function | str:
    """The function, or why it is left out."""
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
    identity = f"{label}:{node.lineno} {node.name}"
    return Function(identity, fingerprint(node), node.name, text, docstring, span)


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
    """The docstring and its lines, where it can be cut out by lines."""
    constant = docstring_node(node)
    if constant is None or constant.end_lineno is None or not str(constant.value).strip():
        return None, (0, 0)
    alone = not lines[constant.lineno - 1][: constant.col_offset].strip()
    if not alone or node.body[1].lineno <= constant.end_lineno:
        return None, (0, 0)
    start, end = constant.lineno - node.lineno, constant.end_lineno - node.lineno + 1
    return inspect.cleandoc(str(constant.value)), (start, end)
