"""Code at the interpreter's own limits is a fact about the code: whatever takes it apart ends with a reason."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

import mftkit
from mftkit_plugins.evaluators.comparable import ComparedText
from mftkit_plugins.evaluators.pass_at_k import other_languages
from mftkit_plugins.evaluators.sql.queries import normalised
from mftkit_plugins.filters.text.code import canonical, docstrings
from mftkit_plugins.filters.text.tokens import python_tokens, windows
from mftkit_plugins.filters.verification.trial import Demands, verdict_on
from mftkit_plugins.generators.chat_requests import BadReply, json_list
from mftkit_plugins.generators.python_source.functions import functions_of
from mftkit_plugins.generators.python_source.tasks import Kind, pair
from mftkit_plugins.program_tests import TestedProgram, mutants, run_tests, stubs
from mftkit_plugins.program_tests.results import FAILS, TESTS_TOO_DEEP, TOO_DEEP
from mftkit_plugins.python_code import TooDeepError, parsed
from mftkit_plugins.task_formats.fim.syntax import syntax_spans

if TYPE_CHECKING:
    from collections.abc import Callable


def function(expression: str) -> str:
    return f"def f(x):\n    'Return what is asked for.'\n    y = {expression}\n    return y\n"


ELIF = "".join(f"    elif x == {i}:\n        return {i}\n" for i in range(700))
HOSTILE = {
    "a long sum": function(" + ".join(["x"] * 420)),
    "a longer sum": function(" + ".join(["x"] * 900)),
    "the longest sum": function(" + ".join(["x"] * 9000)),
    "thousands of digits": function("0x" + "f" * 4000),
    "thousands of decimal digits": function("9" * 5000),
    "elif": f"def f(x):\n    if x is None:\n        return 0\n{ELIF}    return x\n",
    "minus": function("-" * 900 + "x"),
    "brackets": function("[" * 5000 + "]" * 5000),
    "attributes": function("x" + ".a" * 900),
    "items": function("x" + "[0]" * 2900),
    "lambdas": function("lambda: " * 900 + "x"),
    "choices": function("1 if x else " * 900 + "2"),
    "a decorator": f"@a{'.b' * 900}\n{function('x')}",
    "decorators": "@a\n" * 3000 + function("x"),
    "at the top of the module": f"y = {'-' * 900}1\n{function('x')}",
    "a null byte": function("'\0'"),
    "half a character": function("'\ud800' + x"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_code_at_the_limits_ends_nothing(kind: str) -> None:
    code = HOSTILE[kind]
    assert isinstance(canonical(code), str)
    assert isinstance(docstrings(code), list)
    assert isinstance(syntax_spans(code), dict)
    assert len(windows(python_tokens(code), 5))
    for change in (lambda: stubs(code), lambda: mutants(code, 2, seed=1)):
        made = _or_too_deep(change)
        assert made is None or all(parsed(text) is not None for text in made)
    dropped: Counter[str] = Counter()
    found = functions_of(code, "file", dropped)
    assert len(found) + dropped.total() == 1
    kinds: tuple[Kind, ...] = ("completion", "comment", "text-to-code", "repair")
    assert all(pair(kind, each, seed=1, longest=1 << 30) for each in found for kind in kinds)


def _or_too_deep(change: Callable[[], list[str]]) -> list[str] | None:
    try:
        return change()
    except TooDeepError:
        return None


class Passes(mftkit.Executor):
    """No program is run before its code was found fit."""

    def open(self, *_given: Any) -> mftkit.Session:
        raise AssertionError("run")


def test_a_row_whose_code_is_too_deep_is_dropped_with_the_reason() -> None:
    program, demands = TestedProgram(HOSTILE["a long sum"], "assert f(1)"), Demands(1.0, False, 3, 0.5, 1)
    assert verdict_on(program, Passes(mftkit.Options()), mftkit.Limits(), demands).reason == TOO_DEEP


class Repeats(mftkit.Session):
    """The tests' process says one line, which its tests may have written themselves."""

    def __init__(self, line: str) -> None:
        self.line = line

    def send(self, line: str) -> None:
        pass

    def receive(self) -> str | None:
        return self.line

    def close(self) -> mftkit.Execution:
        return mftkit.Execution("exited", 0, "", "", 0.1)


@pytest.mark.parametrize(
    "line", ["V[[[", "V" + "[" * 100_000, "V{}", 'V{"errors": 5}', "V[]", "V" + "9" * 5000]
)
def test_a_verdict_that_tests_wrote_themselves_is_a_failure(line: str) -> None:
    class Says(mftkit.Executor):
        def open(self, *_given: Any) -> mftkit.Session:
            return Repeats(line)

    done = run_tests(TestedProgram("def f(x): pass", "assert f(1)"), Says(mftkit.Options()), mftkit.Limits())
    assert (done.passed, done.reason) == (False, FAILS)
    assert "writes to the line" in done.detail


def test_tests_that_are_too_deep_did_not_run() -> None:
    from mftkit_plugins.executors.rlimits import Rlimits

    executor = Rlimits(mftkit.Options())
    if (why := executor.unavailable()) is not None:
        pytest.skip(f"rlimits cannot be used here: {why}")
    tested = TestedProgram("def f(x): return x", f"assert f({'-' * 900}1)")
    assert run_tests(tested, executor, mftkit.Limits()).reason == TESTS_TOO_DEEP


LONG = 100_000


def test_expressions_take_no_more_time_than_the_text_is_long() -> None:
    began = time.process_time()
    assert ComparedText().compared("x" + " " * LONG + "y \n") == "x" + " " * LONG + "y"
    assert other_languages.function_name("cpp", "a" * LONG) == ""
    assert "name" in other_languages.program("cpp", "int name() {", "name", "name(" * LONG, "chat")
    assert normalised("[" * LONG) == "[" * LONG
    with pytest.raises(BadReply):
        json_list("[" * LONG)
    assert time.process_time() - began < 5  # half a second alone on this machine; minutes with a square
