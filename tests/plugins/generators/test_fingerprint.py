from __future__ import annotations

import ast

import pytest

from mftkit_plugins.generators.python_source.fingerprint import fingerprint

ONE = "def f(a, b=1):\n    '''Doc.'''\n    for c in a:\n        print(c.name, b)"


def of(source: str) -> str:
    function = ast.parse(source).body[0]
    assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
    return fingerprint(function)


@pytest.mark.parametrize(
    "same",
    [
        "def g(x, y=1):\n    for z in x:\n        print(z.name, y)",
        "@cached\ndef f(a: list, b: int = 1) -> None:\n    # a remark\n    for c in a: print(c.name,\n    b)",
    ],
)
def test_names_and_remarks_do_not_count(same: str) -> None:
    assert of(same) == of(ONE)


@pytest.mark.parametrize(
    "other",
    [
        ONE.replace("print(c.name, b)", "print(b, c.name)"),
        ONE.replace("print", "log"),
        ONE.replace("c.name", "c.title"),
        ONE.replace("b=1", "b=2"),
        ONE.replace("def", "async def").replace("for", "async for"),
        ONE.replace("for c", "global c\n    for c"),
    ],
)
def test_everything_else_counts(other: str) -> None:
    assert of(other) != of(ONE)
