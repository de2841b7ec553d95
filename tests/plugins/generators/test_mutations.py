from __future__ import annotations

import ast

import pytest

from mftkit_plugins.generators.python_source.mutations import mutate, mutations

CASES = [
    ("comparison", "def f(a, b):\n    return a < b", "def f(a, b):\n    return a <= b"),
    ("comparison", "def f(a, b):\n    return (a) is not (b)", "def f(a, b):\n    return (a) is (b)"),
    ("comparison", "def f(a, b):\n    return a not  in b", "def f(a, b):\n    return a in b"),
    ("boolean", "def f(a, b):\n    return a and b", "def f(a, b):\n    return a or b"),
    ("arithmetic", "def f(a, b):\n    return a // (b)", "def f(a, b):\n    return a / (b)"),
    ("arithmetic", "def f(ä, b):\n    return ä['ü'] - b", "def f(ä, b):\n    return ä['ü'] + b"),
    ("constant", "def f(a):\n    return a[10]", "def f(a):\n    return a[9]"),
    ("constant", "def f(a):\n    return a[10]", "def f(a):\n    return a[11]"),
    ("arguments", "def f(a):\n    return g(a.b, [1, 2],  x=3)", "def f(a):\n    return g([1, 2], a.b,  x=3)"),
    ("negation", "def f(a):\n    return not a.b", "def f(a):\n    return a.b"),
    ("variable", "def f(a, b):\n    return a", "def f(a, b):\n    return b"),
]


@pytest.mark.parametrize(("kind", "text", "expected"), CASES)
def test_each_kind_changes_what_it_says_and_keeps_the_rest(kind: str, text: str, expected: str) -> None:
    made = {mutation.apply(text) for mutation in mutations(text) if mutation.kind == kind}
    assert expected in made


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    return 'a'",
        'def f(a):\n    "a < b and 1"\n    return a',
        "def f(a):\n    return f'{a + 1}'",
        "def f(a):\n    return 'no %s' % (a,)",
        "def f(a):\n    return g(*a, *a)",
        "def f(a):\n    return True",
        "def f(a=1):\n    return 0x10",
        "x = 1",
        "def f(:",
    ],
)
def test_where_there_is_no_place_for_a_bug_there_is_none(text: str) -> None:
    assert mutate(text, "seed") is None


def test_the_bug_depends_on_the_seed_alone() -> None:
    text = "def f(a, b, c):\n    if not a and b < c + 1:\n        return g(a, b)\n    return c[2]"
    made = {mutate(text, str(seed)) for seed in range(60)}
    assert len(made) > 10
    assert mutate(text, "5") == mutate(text, "5")
    for mutated in made:
        assert mutated is not None
        assert ast.dump(ast.parse(mutated)) != ast.dump(ast.parse(text))


def test_a_swap_that_changes_nothing_is_not_taken() -> None:
    text = "def f():\n    return g((h), h)"
    assert mutate(text, "seed") is None
