"""Tokens of code and of prose, and numbers for runs of them."""

from __future__ import annotations

import builtins
import keyword
import re
import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

_TOKEN = re.compile(r"[^\W\d]\w*|\d+|[^\w\s]")
_WORD = re.compile(r"\w+")
_PYTHON = re.compile(
    r"""
    (?P<comment>\#[^\n]*)
  | (?P<text>(?i:\b[rbuf]{1,2})?(?:'{3}.*?'{3}|"{3}.*?"{3}))
  | (?P<string>(?i:\b[rbuf]{1,2})?(?:'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"))
  | (?P<name>[^\W\d]\w*)
  | (?P<number>\d[\w.]*)
  | (?P<sign>[^\w\s])
    """,
    re.VERBOSE | re.DOTALL,
)
_FIXED = (
    frozenset(keyword.kwlist) | frozenset(keyword.softkwlist) | frozenset(dir(builtins)) | {"self", "cls"}
)
"""Names that stay when a copy is renamed."""
_PRIME = np.uint64(0x9E3779B97F4A7C15)
NAME = "\0"
"""First character of the token of a name that can be changed without changing the program."""


def tokens(text: str) -> list[str]:
    r"""Split text into names, numbers and signs, ignoring white space.

    >>> tokens("def f(x):\n    return x+1")
    ['def', 'f', '(', 'x', ')', ':', 'return', 'x', '+', '1']
    """
    return _TOKEN.findall(text)


def words(text: str) -> list[str]:
    """Split text into words and numbers in lower case, without signs.

    >>> words("Adds two numbers: 1, and 2.")
    ['adds', 'two', 'numbers', '1', 'and', '2']
    """
    return _WORD.findall(text.lower())


def python_tokens(code: str) -> list[str]:
    r"""Split Python code into tokens without comments, docstrings and layout; names that could change are marked.

    Keywords, built-ins and attributes (after a dot) are unmarked: a renamed copy keeps them. Code that does not
    parse is split as well.

    >>> [t.replace(NAME, "?") for t in python_tokens("def f(x):  # double\n    return x.real * len('a b')")]
    ['def', '?f', '(', '?x', ')', ':', 'return', '?x', '.', 'real', '*', 'len', '(', "'a b'", ')']
    """
    found = []
    last = ""
    for match in _PYTHON.finditer(code):
        kind, token = match.lastgroup, match.group()
        if kind in ("comment", "text"):
            continue
        if kind == "string":  # the same string, whatever its quotes
            token = f"'{token[token.index(token[-1]) + 1 : -1]}'"
        elif kind == "name" and token not in _FIXED and last != ".":
            token = NAME + token
        found.append(token)
        last = token
    return found


def windows(found: Sequence[str], size: int) -> NDArray[np.uint64]:
    """Return a number for each run of ``size`` tokens, [n]; one for all of them if there are fewer."""
    if not found:
        return np.zeros(0, dtype=np.uint64)
    size = min(size, len(found))
    encoded = (token.encode("utf-8", "surrogatepass") for token in found)
    numbers = np.fromiter(map(zlib.crc32, encoded), dtype=np.uint64, count=len(found))
    total = np.zeros(len(found) - size + 1, dtype=np.uint64)
    for offset in range(size):  # a polynomial hash: the arithmetic is meant to wrap at 2^64
        total = total * _PRIME + numbers[offset : offset + len(total)]
    return total ^ (total >> np.uint64(31))


def renamed_runs(found: Sequence[str], size: int, starts: Iterable[int]) -> Iterator[tuple[str, ...]]:
    """Yield runs of ``size`` tokens with their marked names numbered: equal for code that only renames."""
    for start in starts:
        order: dict[str, str] = {}
        yield tuple(
            order.setdefault(token, f"{NAME}{len(order)}") if token.startswith(NAME) else token
            for token in found[start : start + size]
        )


def unique(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the distinct numbers, sorted."""
    found: NDArray[np.uint64] = np.unique(numbers)
    return found
