"""Whatever a program and its tests pass to each other arrives as it was, or as a handle that behaves like it."""

from __future__ import annotations

import pytest

import mftkit
from mftkit_plugins.executors.rlimits import Rlimits
from mftkit_plugins.program_tests import TestedProgram, TestResult, call_function, mutants, results, run_tests

LIMITS = mftkit.Limits(seconds=10.0)

CASES = {
    "plain data": ("import decimal, fractions, datetime, collections\ndef same(x):\n    return x\n", "import math, datetime\nfrom collections import *\nfrom decimal import Decimal\nfor x in (None, True, 1, 1.0, 10 ** 40, 1j, 'a\\n\\ud800', b'b', [1, [2]], (1,), {1}, frozenset({2}), {1: {2: 3}}, range(3), Decimal('1.10'), datetime.date(2020, 1, 2), deque([1], 3), Counter('aab'), OrderedDict(a=1)):\n    assert same(x) == x\n    assert type(same(x)) is type(x)\nassert math.isnan(same(math.nan))\n", "values"),
    "changed arguments": ("def add(x, grid):\n    x.append(1)\n    grid[0][0] = 9\n    return x\n", "x, grid = [], [[0], [1]]\nrow = grid[0]\nassert add(x, grid) is x\nassert x == [1]\nassert row == [9]\n", "values"),
    "a linked list": ("class Node:\n    def __init__(self, v, next=None):\n        self.v, self.next = v, next\ndef rev(h):\n    p = None\n    while h:\n        h.next, p, h = p, h, h.next\n    return p\n", "h = rev(Node(1, Node(2)))\nassert (h.v, h.next.v, h.next.next) == (2, 1, None)\n", "objects"),
    "a dataclass": ("from dataclasses import dataclass\n@dataclass(order=True, frozen=True)\nclass P:\n    x: int\n", "assert P(1) == P(1)\nassert P(1) != P(2)\nassert P(1) < P(2)\nassert repr(P(1)) == 'P(x=1)'\nassert {P(1): 2}[P(1)] == 2\nassert isinstance(P(1), P)\n", "objects"),
    "operators": ("class V:\n    def __init__(self, x): self.x = x\n    def __add__(self, o): return V(self.x + o.x)\n    def __rmul__(self, k): return V(k * self.x)\n    def __len__(self): return self.x\n    def __iter__(self): return iter(range(self.x))\n    def __getitem__(self, i): return i\n", "assert (V(1) + V(2)).x == 3\nassert (2 * V(2)).x == 4\nassert len(V(2)) == 2\nassert list(V(2)) == [0, 1]\nassert V(2)[5] == 5\n", "objects"),
    "subclasses of plain types": ("from enum import IntEnum\nfrom typing import NamedTuple\nclass P(NamedTuple):\n    x: int\nclass I(IntEnum):\n    A = 1\nclass S(list):\n    def push(self, x): self.append(x)\ndef p(): return P(1)\n", "assert p() == (1,)\nassert p().x == 1\nassert I.A == 1\ns = S()\ns.push(3)\nassert s == [3]\ns.append(4)\nassert s[-1] == 4\n", "objects"),
    "containers of objects": ("class A:\n    def __init__(self): self.d = {}\n", "a = A()\na.d['x'] = 1\nassert a.d == {'x': 1}\n", "objects"),
    "callbacks and decorators": ("import functools\ndef twice(f):\n    @functools.wraps(f)\n    def w(*a): return 2 * f(*a)\n    return w\n", "calls = []\n@twice\ndef g(x):\n    calls.append(x)\n    return x\nassert g(3) == 6\nassert calls == [3]\nassert g.__name__ == 'g'\n", "values"),
    "coroutines": ("import asyncio\nasync def one(f):\n    await asyncio.sleep(0)\n    return await f(1)\nasync def many():\n    for x in range(3): yield x\n", "import asyncio\nasync def main():\n    async def f(x): return x + 1\n    assert await one(f) == 2\n    assert [x async for x in many()] == [0, 1, 2]\nasyncio.run(main())\n", "objects"),
    "output and input": ("def ask():\n    print('hello')\n    return input('? ')\n", "import io\nfrom contextlib import redirect_stdout\nfrom unittest.mock import patch\nwith patch('builtins.input', return_value='yes'), redirect_stdout(io.StringIO()) as out:\n    assert ask() == 'yes'\nassert out.getvalue() == 'hello\\n'\n", "values"),
    "patched names": ("import random\ndef roll(): return random.randint(1, 6)\n", "from unittest.mock import patch\nwith patch('solution.random.randint', return_value=77):\n    assert roll() == 77\nassert roll() < 7\n", "objects"),
}  # fmt: skip


def verdict(solution: str, tests: str) -> TestResult:
    return run_tests(TestedProgram(solution, tests), Rlimits(mftkit.Options()), LIMITS)


@pytest.mark.parametrize("name", CASES)
def test_it_arrives(name: str) -> None:
    solution, tests, way = CASES[name]
    result = verdict(solution, tests)
    assert result.passed, result
    if name not in {"patched names"}:
        assert result.way == way


def test_what_cannot_cross_is_no_verdict() -> None:
    result = verdict("class B:\n    pass\n", "class D(B):\n    pass\nassert D()\n")
    assert (result.passed, result.reason) == (False, results.CANNOT)


def test_tests_that_do_not_parse() -> None:
    assert verdict("def f(): pass\n", "assert f(").reason == results.UNREADABLE


def test_calls_give_results_and_errors() -> None:
    solution = "def half(x):\n    return [10 / x, {x}]\n"
    found = call_function(solution, "half", [[2], [0], [4]], Rlimits(mftkit.Options()), LIMITS)
    assert [one.value for one in found] == [[5.0, {2}], None, [2.5, {4}]]
    assert found[1].error == "ZeroDivisionError: division by zero"
    [lost] = call_function(
        "import os\ndef f(x):\n    os._exit(0)\n", "f", [[1]], Rlimits(mftkit.Options()), LIMITS
    )
    assert lost.error


def test_mutants_differ_and_parse() -> None:
    solution = "def f(x):\n    if x > 0 and x != 3:\n        return x + 1\n    return -x * 2\n"
    made = mutants(solution, 8, seed=1)
    assert len(made) == len(set(made)) == 8
    assert made == mutants(solution, 8, seed=1)
    assert made != mutants(solution, 8, seed=2)
    for one in made:
        compile(one, "mutant", "exec")
    assert mutants("def f(:", 3, 0) == []
    tests = "assert f(1) == 2\nassert f(3) == -6\nassert f(-2) == 4\nassert f(0) == 0\n"
    assert verdict(solution, tests).passed
    assert not any(verdict(one, tests).passed for one in made[:3])
