"""Solutions that work stay, with tests that test something; wrong ones and empty tests go."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import ValidationError

import mftkit
from chat_server import MODEL, Answer, ChatServer, serving
from mftkit.plugins import executors
from mftkit_plugins.executors.rlimits import Rlimits
from mftkit_plugins.filters.verification.filter import NO_REPLY, NO_TESTS, TOO_LATE, Verification
from mftkit_plugins.filters.verification.trial import FAILS, NO_CODE, NO_FUNCTION, NOTHING_TESTED, TOO_WEAK
from mftkit_plugins.program_tests.results import NEVER_REACHED
from mftkit_plugins.program_tests.stubs import stubs

QUESTION = "Write double(x), which gives twice x."
RIGHT = "def double(x):\n    return 2 * x\n"
WRONG = "def double(x):\n    return x + 2\n"
TESTS = "assert double(3) == 6\nassert double(0) == 0"


def pair(
    answer: str, tests: str | list[str] | None = None, question: str = QUESTION, **more: Any
) -> dict[str, Any]:
    return {"prompt": question, "answer": answer, **({} if tests is None else {"tests": tests}), **more}


@pytest.fixture(autouse=True)
def _weak(monkeypatch: pytest.MonkeyPatch) -> None:
    """In whatever is there: what isolates is tried elsewhere."""
    monkeypatch.setenv(executors.WEAK, "1")


GOOD = {
    "asserts": pair(RIGHT, TESTS),
    "a list of asserts": pair(RIGHT, TESTS.split("\n")),
    "between fences": pair(f"Like this:\n```python\n{RIGHT}```\nThat is all.", TESTS),
    "test functions": pair(RIGHT, "def test_three():\n    assert double(3) == 6\n"),
    "by import": pair(RIGHT, "from solution import double as d\nassert d(3) == 6"),
    "unittest": pair(RIGHT, "import unittest\nclass T(unittest.TestCase):\n    def test(self):\n        self.assertEqual(double(3), 6)\n"),
    "HumanEval's": pair("    return 2 * x\n", "def check(candidate):\n    assert candidate(3) == 6\n", 'def double(x):\n    """ Twice x. """\n', entry_point="double"),
    "a class": pair("class Twice:\n    def of(self, x):\n        return 2 * x\n", "assert Twice().of(3) == 6"),
    "a conversation": {"messages": [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": RIGHT}], "tests": TESTS},
}  # fmt: skip
BAD = {
    "wrong": (pair(WRONG, TESTS), FAILS),
    "raises": (pair("def double(x):\n    return y\n", TESTS), FAILS),
    "endless": (pair("def double(x):\n    while True: pass\n", TESTS), FAILS),
    "leaves early": (pair("import os\ndef double(x):\n    os._exit(0)\n", TESTS), FAILS),
    "leaves at once": (pair(f"import sys\n{WRONG}\nsys.exit(0)\n", TESTS), FAILS),
    "floods": (pair(f"print('x' * 10 ** 6)\n{RIGHT}", TESTS), FAILS),
    "assert True": (pair(RIGHT, "assert True"), NOTHING_TESTED),
    "nothing but a call": (pair(RIGHT, "double(3)"), NOTHING_TESTED),
    "catches all": (
        pair(RIGHT, "try:\n    assert double(3) == 6\nexcept BaseException:\n    pass"),
        NOTHING_TESTED,
    ),
    "brings its own": (pair(RIGHT, f"{RIGHT}\n{TESTS}"), NOTHING_TESTED),
    "never called": (pair(RIGHT, "def helper():\n    assert double(3) == 6\n"), NOTHING_TESTED),
    "fails as it is loaded": (pair(f"{RIGHT}\nassert double(1) == 2\n", "assert True"), NOTHING_TESTED),
    "no tests": (pair(RIGHT), NO_TESTS),
    "no code": (pair("Twice it is.", TESTS), NO_CODE),
    "no function": (pair("x = 6\n", "assert x == 6"), NO_FUNCTION),
}


def test_right_ones_stay_and_wrong_ones_go_each_for_its_reason(pass_through: Callable[..., Any]) -> None:
    rows = [*GOOD.values(), *(row for row, _ in BAD.values())]
    found = pass_through("verification", rows, seconds=2.0)
    assert found.kept == list(GOOD.values())
    assert [(row, reason) for row, reason, _ in found.dropped] == list(BAD.values())
    details = {reason_detail[2] for reason_detail in found.dropped}
    assert {
        "AssertionError",
        "NameError: name 'y' is not defined",
        "it takes too long",
        "it prints too much",
    } <= details
    assert any(note.startswith("programs run in ") for note in found.notes)


def test_a_stub_fails_in_its_tests_and_not_before() -> None:
    made = stubs(
        "import math\n'''doc'''\nLIMIT = size() + 1\nclass A:\n    def f(self):\n        return 1\ng = lambda: 2\n"
    )
    assert len(made) == 2
    for source in made:
        names: dict[str, Any] = {}
        exec(source, names)
        assert names["g"]() is None
        assert "math" in names
    with pytest.raises(NotImplementedError):
        exec(f"{made[0]}\nA().f()", {})
    assert stubs("x = 1") == stubs("def f(:") == []


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with serving() as made:
        yield made


def model(server: ChatServer, **options: Any) -> dict[str, Any]:
    return {"name": "openai", "options": {"model": MODEL, "base_url": server.url, **options}}


def code(*parts: Any) -> Any:
    return Answer("\n".join(f"Here:\n```python\n{part}\n```" for part in parts))


def test_tests_are_asked_for_where_a_row_has_none(
    server: ChatServer, pass_through: Callable[..., Any]
) -> None:
    server.script = lambda body, number: code(
        TESTS if "double" in body["messages"][-1]["content"] else "assert True"
    )
    triple = pair("def triple(x):\n    return 3 * x\n", question="Write triple.")
    rows = [pair(RIGHT), pair(WRONG), triple, pair(RIGHT, TESTS, question="Another one.")]
    found = pass_through("verification", rows, model=model(server))
    assert found.kept == [{**rows[0], "tests": TESTS}, rows[3]]
    assert [reason for _, reason, _ in found.dropped] == [FAILS, NOTHING_TESTED]
    prompts = sorted(body["messages"][-1]["content"] for body in server.bodies)
    assert len(prompts) == 3
    assert QUESTION in prompts[0]
    assert "A solution defines double." in prompts[0]
    assert "2 * x" not in prompts[0]
    assert pass_through("verification", rows, model=model(server), keep_tests=False).kept[0] == rows[0]
    assert server.requests == 3, "a second pass asks for nothing that was answered"


def test_the_model_may_write_both(server: ChatServer, pass_through: Callable[..., Any]) -> None:
    server.script = lambda body, number: code(RIGHT, TESTS)
    [row] = pass_through("verification", [pair("It is easy.")], model=model(server), solution="model").kept
    assert (row["answer"].strip(), row["tests"]) == (RIGHT.strip(), TESTS)
    fenced = pair(f"```python\n{WRONG}```")
    [row] = pass_through("verification", [fenced], model=model(server), solution="model").kept
    assert row["answer"] == f"```python\n{RIGHT.strip()}\n```"


def test_what_fails_may_be_mended(server: ChatServer, pass_through: Callable[..., Any]) -> None:
    def script(body: Any, number: Any) -> Any:
        prompt = body["messages"][-1]["content"]
        if "which are right" in prompt:
            return code(RIGHT)
        return (
            code(RIGHT, TESTS) if "the one or the other is wrong" in prompt else code("assert double(3) == 7")
        )

    server.script = script
    rows = [pair(WRONG, TESTS, id=1), pair(RIGHT, id=2), pair(RIGHT, TESTS, id=3)]
    found = pass_through("verification", rows, model=model(server), repairs=1)
    assert [(row["id"], row["answer"].strip(), row["tests"]) for row in found.kept] == [
        (i, RIGHT.strip(), TESTS) for i in (1, 2, 3)
    ]
    assert found.counts["repaired"] == 2
    asked = [body["messages"][-1]["content"] for body in server.bodies]
    assert any("AssertionError" in prompt and WRONG.strip() in prompt for prompt in asked)
    server.script = lambda body, number: Answer("I cannot.")
    found = pass_through("verification", [pair(WRONG, TESTS + "\n")], model=model(server), repairs=2)
    assert [reason for _, reason, _ in found.dropped] == [FAILS]


def test_replies_of_no_use_and_a_spent_budget(server: ChatServer, pass_through: Callable[..., Any]) -> None:
    server.script = lambda body, number: Answer("No code.")
    found = pass_through("verification", [pair(RIGHT)], model=model(server))
    assert [reason for _, reason, _ in found.dropped] == [NO_REPLY]
    server.script = lambda body, number: code(TESTS)
    rows = [pair(RIGHT, question=f"{QUESTION} ({i})") for i in range(4)]
    found = pass_through(
        "verification", [*rows, GOOD["asserts"]], model=model(server, max_tokens=850, reply_tokens=300)
    )
    assert found.kept[-1] == GOOD["asserts"]
    assert set(found.reasons) == {TOO_LATE}
    assert any("the budget does not cover" in note for note in found.notes)


def test_tests_that_run_in_part_drop_a_row_or_are_reported(pass_through: Callable[..., Any]) -> None:
    row = pair(RIGHT, f"{TESTS}\ndef check(candidate, n):\n    assert candidate(n) == 2 * n\n")
    found = pass_through("verification", [row])
    [(_, reason, detail)] = found.dropped
    assert (reason, detail) == (NEVER_REACHED, "the assertion in line 4 was never reached")
    found = pass_through("verification", [row], not_run="report")
    assert (found.kept, found.counts["not_run"], found.counts["values"]) == ([row], 1, 1)


def test_a_share_of_the_tests_and_of_the_mutants(pass_through: Callable[..., Any]) -> None:
    row = pair(RIGHT, f"{TESTS}\nassert double(1) == 2\nassert double(2) == 5")
    assert pass_through("verification", [row], pass_rate=0.75).kept == [row]
    assert pass_through("verification", [row], pass_rate=0.9).reasons == {FAILS: 1}
    weak = pair(RIGHT, "assert double(0) == 0")
    assert pass_through("verification", [weak]).kept == [weak]
    found = pass_through("verification", [weak, pair(RIGHT, TESTS)], mutants=3, mutants_killed=0.9)
    assert found.reasons == {TOO_WEAK: 1}
    assert len(found.kept) == 1


def test_options_that_need_a_model_say_so() -> None:
    for options in ({"repairs": 1}, {"solution": "model"}):
        with pytest.raises(ValidationError, match="requires a chat model"):
            Verification.Options(**options)


def test_a_weak_isolation_is_refused_before_anything_runs(
    pass_through: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(executors.WEAK)
    with pytest.raises(mftkit.MftError, match="--allow-weak-isolation"):
        pass_through("verification", [GOOD["asserts"]], isolation="rlimits")


def test_executions_go_on_beside_each_other() -> None:
    at_once, most, lock = 0, 0, threading.Lock()

    class Counts(mftkit.Executor):
        """A stranger's executor: it has only ``run``."""

        inner = Rlimits(mftkit.Options())

        def run(self, program: Any, limits: Any) -> Any:
            nonlocal at_once, most
            with lock:
                at_once += 1
                most = max(most, at_once)
            done = self.inner.run(program, limits)
            with lock:
                at_once -= 1
            return done

    rows = [pair(RIGHT, TESTS, id=i) for i in range(4)]
    found = Verification(Verification.Options(workers=3))
    unused: Any = None
    context = mftkit.FilterContext(
        7, "a", unused, unused, lambda **_: None, unused, unused, lambda _ref: Counts(mftkit.Options())
    )
    assert [row["id"] for row in found.apply(iter(rows), context)] == list(range(4))
    assert 1 < most <= 3
