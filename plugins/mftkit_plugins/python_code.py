"""Other people's Python as syntax trees, and back as text.

Code may be nested so deeply, or hold such numbers, that the interpreter's own limits end the work on its tree. That is
a fact about the code, never the end of the program: trees that cannot be made are None, and whatever walks a tree
recursively runs under ``on_trees``.
"""

from __future__ import annotations

import ast
import gc
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

TOO_DEEP = "nested too deeply, or with a number of thousands of digits"
_LIMITS = (RecursionError, MemoryError, ValueError, SystemError)
"""What the limits on nesting (RecursionError, MemoryError; SystemError from CPython's own count of it), and on the
digits of a number that is written (ValueError), raise."""


class TooDeepError(Exception):
    """The tree of code is there, but is ``TOO_DEEP`` to be walked or written."""


def parsed(code: str) -> ast.Module | None:
    """Return the syntax tree of Python code, or None if it does not parse."""
    try:
        with warnings.catch_warnings(), _no_collection():
            warnings.simplefilter(
                "ignore"
            )  # invalid escapes: data must not depend on whether warnings are errors
            return ast.parse(code)
    except (SyntaxError, *_LIMITS):
        return None


@contextmanager
def on_trees() -> Iterator[None]:
    """Raise TooDeepError where work on trees exceeds a limit of the interpreter."""
    try:
        yield
    except _LIMITS as error:
        raise TooDeepError(TOO_DEEP) from error


def unparsed(tree: ast.Module) -> str:
    """Return the text of a tree, which need not have places. Raises TooDeepError."""
    with on_trees():
        return ast.unparse(ast.fix_missing_locations(tree))


@contextmanager
def _no_collection() -> Iterator[None]:
    """Pause the collection of garbage: of a large tree it finds none, and takes as long as the parser."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()
