"""pass@k: the estimator, each form of problems, and answers that must not pass."""

from __future__ import annotations

import gzip
import itertools
import json
import os
from collections.abc import Callable
from typing import Any

import pytest

import mftkit
from mftkit.plugins import installed, kinds
from mftkit_plugins.evaluators.pass_at_k.estimator import pass_at_k
from mftkit_plugins.evaluators.pass_at_k.evalplus import same_result
from mftkit_plugins.program_tests import stubs
from references import SHARED

BEGUN = 'import math\n\n\ndef other(x):\n    return x + 1\n\n\ndef grow(x):\n    """Return x + 1, by other.\n    >>> grow(1)\n    2\n    """\n'
CHECK = "def check(candidate):\n    assert candidate(1) == 2\n    assert candidate(-1) == 0\n"
HUMANEVAL = {"task_id": "Own/0", "prompt": BEGUN, "entry_point": "grow", "test": CHECK, "canonical_solution": "    return other(x)\n"}  # fmt: skip
MBPP = {"task_id": 601, "text": "Write a function that doubles.", "code": "def double(x):\n    return 2 * x", "test_list": ["assert double(2) == 4", "assert double(n) == 6"], "test_setup_code": "n = 3", "challenge_test_list": ["assert double('a') == 'aa'"]}  # fmt: skip
EVALPLUS = {"task_id": "Own/1", "prompt": 'def half(x):\n    """Return half of x."""\n', "entry_point": "half", "canonical_solution": "    return x / 2\n", "base_input": [[1], [3.0]], "plus_input": [[1e9], [-1]], "atol": 0}  # fmt: skip
CPP = {"task_id": "CPP/0", "prompt": "/*\nAdd one, like {grow(1)}. {\n*/\n#include<vector>\nusing namespace std;\nint other(int x){\n    return x + 1;\n}\nint grow(int x){\n", "declaration": "#include<vector>\nint grow(int x){\n", "test": "#undef NDEBUG\n#include<assert.h>\nbool same(int a, int b){\n    return a == b;\n}\nint main(){\n    assert (same(grow(1), 2));\n    assert (grow(-1) == 0);\n}\n"}  # fmt: skip
JAVASCRIPT = {"task_id": "JavaScript/0", "prompt": "/* Add one: grow(1) is 2. */\nconst other = (x) => {\n  return x + 1;\n}\nconst grow = (x) => {\n", "declaration": "\nconst grow = (x) => {\n", "test": "const testGrow = () => {\n  console.assert(grow(1) === 2)\n  console.assert(grow(-1) === 0)\n}\n\ntestGrow()\n"}  # fmt: skip
JAVA = {"task_id": "Java/0", "prompt": "import java.util.*;\n\nclass Solution {\n    /** Add one {. */\n    public int grow(int x) {\n", "declaration": "import java.util.*;\n\nclass Solution {\n    public int grow(int x) {\n", "test": "public class Main {\n    public static void main(String[] args) {\n        Solution s = new Solution();\n        if (s.grow(1) != 2) {\n            throw new AssertionError();\n        }\n    }\n}\n"}  # fmt: skip
Make = Callable[..., Any]


def fenced(code: str, language: str = "python") -> str:
    return f"It is this:\n```{language}\n{code}\n```\nThat is all."


@pytest.mark.parametrize(("n", "c", "k"), [(1, 0, 1), (1, 1, 1), (5, 2, 1), (5, 2, 3), (6, 3, 4), (7, 0, 7)])
def test_the_estimator_is_the_share_of_all_choices_with_a_right_one(n: int, c: int, k: int) -> None:
    chosen = list(itertools.combinations([True] * c + [False] * (n - c), k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, chosen)) / len(chosen))


def test_the_mean_is_over_rows_and_k_is_at_most_the_samples(evaluated: Make) -> None:
    made = evaluated("pass-at-k", samples=2, k=[1, 2])
    found = made.each([(HUMANEVAL, ["    return x + 1", "    return x"]), (HUMANEVAL, ["", "pass"])])
    assert made.evaluator.summary(found) == {"pass@1": 0.25, "pass@2": 0.5}
    assert [each.scores for each in found[0]] == [{"pass@1": 1.0}, {"pass@1": 0.0}]
    with pytest.raises(mftkit.MftError, match=r'pass@3 needs at least 3 answers per row.*"samples": 3'):
        evaluated("pass-at-k", samples=2, k=[3]).check(HUMANEVAL)


RIGHT = {
    "a body": "    return other(x)\n",
    "a body without indentation": "return other(x)",
    "only the first line without indentation": "y = other(x)\n    return y\n",
    "a whole function": "def grow(x):\n    return math.floor(other(x))\n",
    "a function and a helper": "def grow(x):\n    return x + one()\ndef one():\n    return 1\n",
    "an assignment": "grow = lambda x: other(x)",
}


@pytest.mark.parametrize("chat", [True, False])
def test_an_answer_becomes_a_program(evaluated: Make, chat: bool) -> None:
    given = [fenced(answer) if chat else answer for answer in RIGHT.values()]
    passed = evaluated("pass-at-k", chat=chat).passed(HUMANEVAL, *given)
    assert dict(zip(RIGHT, passed, strict=True)) == dict.fromkeys(RIGHT, True)


WRONG = ("    return x\n", "    (", "    pass", "import os\nos._exit(0)", "    raise SystemExit(0)", "def grow(x):\n    class E:\n        __eq__ = lambda a, b: True\n    return E()")  # fmt: skip


@pytest.mark.parametrize("executor", ["bubblewrap", "rlimits"])
def test_wrong_answers_do_not_pass(evaluated: Make, executor: str) -> None:
    why = installed.build(kinds.EXECUTOR, executor, {}).unavailable()
    if why is not None:
        pytest.skip(f"{executor} cannot be used here: {why}")
    made = evaluated("pass-at-k", chat=False, isolation=executor)
    found = made(HUMANEVAL, *WRONG, RIGHT["a body"])
    assert [each.passed for each in found] == [False] * len(WRONG) + [True]
    assert all(each.note for each in found[:-1])


@pytest.mark.parametrize("row", [None, {**HUMANEVAL, "test": CHECK + "    for x in []:\n        assert candidate(x) == 0\n"}])  # fmt: skip
def test_tests_that_run_in_part_fail_with_a_note(evaluated: Make, row: Any) -> None:
    [found] = evaluated("pass-at-k", chat=False)(row or HUMANEVAL, RIGHT["a body"])
    assert found.passed is (row is None)
    assert found.note.startswith("" if row is None else "tests did not run")


@pytest.mark.parametrize("isolation", ["bubblewrap", "rlimits", "docker"])
@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data set is absent")
def test_canonical_solutions_of_humaneval_pass_and_stubs_and_wrong_ones_do_not(
    evaluated: Make, isolation: str
) -> None:
    """All of HumanEval where $MFT_ALL_OF_HUMANEVAL is set, as in CI; else a few problems."""
    missing = installed.build(kinds.EXECUTOR, isolation, {}).unavailable()
    if missing:
        pytest.skip(missing)
    with gzip.open(SHARED / "data" / "humaneval" / "HumanEval.jsonl.gz", "rt") as file:
        rows = [json.loads(line) for line in file][:: 1 if os.environ.get("MFT_ALL_OF_HUMANEVAL") else 54]
    made = evaluated("pass-at-k", chat=False, samples=3, isolation=isolation)
    found = made.each([(row, [row["canonical_solution"], stub(row), wrong(row)]) for row in rows])
    assert [[each.passed for each in row] for row in found] == [[True, False, False]] * len(rows)
    alone = [[row[0]] for row in found], [[row[1]] for row in found], [[row[2]] for row in found]
    assert [made.evaluator.summary(each) for each in alone] == [
        {"pass@1": 1.0},
        {"pass@1": 0.0},
        {"pass@1": 0.0},
    ]


def stub(row: dict[str, str]) -> str:
    return stubs(row["prompt"] + row["canonical_solution"])[1]


def wrong(row: dict[str, str]) -> str:
    """The solution, whose results are then put into another list."""
    name = row["entry_point"]
    return f"{row['canonical_solution']}\n_right = {name}\n\ndef {name}(*given):\n    return [_right(*given), None]\n"


def test_mbpp_asks_with_its_tests_and_runs_them(evaluated: Make) -> None:
    made = evaluated("pass-at-k")
    asked = made.prompt(MBPP)
    assert asked.conversation.turns[0].content.startswith(
        "Write a function that doubles.\nYour code should satisfy these tests:\nassert double(2) == 4\n"
    )
    part = "def double(x):\n    return 2 * x if isinstance(x, int) else 0"
    assert made.passed(MBPP, fenced(MBPP["code"]), fenced(part), fenced("def double(x):\n    return 4")) == [True, True, False]  # type: ignore[arg-type]  # fmt: skip
    assert evaluated("pass-at-k", challenge=True).passed(MBPP, fenced(part)) == [False]
    text = evaluated("pass-at-k", chat=False).prompt(MBPP)
    assert text.text.startswith('"""\nWrite a function')
    assert text.text.endswith('assert double(n) == 6\n"""\n')


def test_evalplus_compares_results_outside_with_a_tolerance(evaluated: Make) -> None:
    made = evaluated("pass-at-k", chat=False, plus=True)
    answers = [
        "return x * 0.5 + 1e-8",
        "return x / 2 if x < 9 else 0",
        "import os; os._exit(0)",
    ]
    found = made(EVALPLUS, *answers)
    assert [(each.passed, each.more["plus"]) for each in found] == [(True, True), (True, False), (False, False)]  # fmt: skip
    assert made.evaluator.summary([found, found[:1]]) == {
        "pass@1": pytest.approx(5 / 6),
        "pass@1+": pytest.approx(4 / 6),
    }
    assert "plus_input 1: 0, not 500000000.0" in found[1].note
    with pytest.raises(mftkit.MftError, match="canonical_solution gives no result for an input: TypeError"):
        made.check({**EVALPLUS, "base_input": [["a"]]})
    with pytest.raises(mftkit.MftError, match='"plus_input" must be a list'):
        made.check({key: value for key, value in EVALPLUS.items() if key != "plus_input"})


def test_no_result_of_an_answer_ends_an_evaluation(evaluated: Make) -> None:
    made = evaluated("pass-at-k")
    row = {**EVALPLUS, "canonical_solution": "    return [x / 2]\n"}
    found = made(row, "def half(x):\n    return [10**400]", "def half(x):\n    return 10**6000")
    assert [each.passed for each in found] == [False, False]
    assert found[1].note == "base_input 1: a number with thousands of digits, not [0.5]"


def test_results_are_compared_as_evalplus_does() -> None:
    assert same_result([1.0, 2.0], [1.0, 2.0 + 1e-7], 0)
    assert not same_result((1.0, 2.0), [1.0, 2.0 + 1e-7], 0)
    assert not same_result(1.0, 1.001, 1e-4)
    assert same_result(1.0, 1.001, 1e-2)
    assert same_result(1, True, 0)
    assert not same_result(1e-9, 0, 0)  # an integer is compared exactly


@pytest.mark.parametrize(("row", "language", "body", "leaves"), [
    (CPP, "cpp", "    return other(x);\n}\n", "    exit(0);\n}\n"),
    (JAVASCRIPT, "js", "  return other(x);\n}\n", "  process.exit(0);\n}\n"),
    (JAVA, "java", "        return x + 1;\n    }\n}\n", "        System.exit(0);\n        return 0;\n    }\n}\n"),
])  # fmt: skip
def test_other_languages_are_compiled_and_run(
    evaluated: Make, row: dict[str, str], language: str, body: str, leaves: str
) -> None:
    made = evaluated("pass-at-k", chat=False)
    try:
        made.check(row)
    except mftkit.MftError as error:
        assert "cannot be run in the executor" in str(error)
        pytest.skip(str(error))
    wrong = body.replace("return ", "return 1 + ")
    found = made(row, body, leaves)
    assert [each.passed for each in found] == [True, False], found
    assert found[1].note == "it ended before the last test"
    assert found[0].more == {"way": "exit code"}
    whole = row["prompt"].rpartition("*/")[2] + body  # with the helpers of the prompt
    alone = row["declaration"] + body
    assert evaluated("pass-at-k").passed(row, *(fenced(x, language) for x in (whole, alone, wrong))) == [
        True,
        True,
        False,
    ]


def test_humaneval_x_in_python_is_run_as_humaneval(evaluated: Make) -> None:
    row = {
        **HUMANEVAL,
        "task_id": "Python/0",
        "declaration": "def grow(x):\n",
        "test": f"{CHECK}\ncheck(grow)\n",
    }
    del row["entry_point"]
    found = evaluated("pass-at-k", chat=False)(row, RIGHT["a body"], "    exit(0)")
    assert [each.passed for each in found] == [True, False]
    assert found[0].more == {"way": "values"}


def test_what_cannot_be_evaluated_is_refused_before_anything_is_generated(evaluated: Make) -> None:
    made = evaluated("pass-at-k")
    for rows, message in (
        ([{"prompt": "Why?", "answer": "So."}], r"data.jsonl:1 is no problem of a known form"),
        ([HUMANEVAL, MBPP], r"data.jsonl:2 has the form MBPP, but data.jsonl:1 the form HumanEval"),
        ([{**HUMANEVAL, "test": ""}], r'data.jsonl:1 has the form HumanEval, but no "test"'),
        ([{**HUMANEVAL, "test": "assert 1"}], r"is no Python code that defines check"),
        ([{**HUMANEVAL, "test": "def check(candidate:\n"}], r"is no Python code that defines check"),
        ([{**HUMANEVAL, "entry_point": 3}], 'has the form HumanEval, but no "entry_point"'),
        ([{**EVALPLUS, "atol": "x"}], '"atol" must be a number'),
        ([{**MBPP, "test_list": []}], 'no "test_list"'),
        ([{**MBPP, "text": ""}], 'neither "text" nor "prompt"'),
        ([{**CPP, "task_id": "Go/1"}], "tests of HumanEval-X in go need the package testify"),
        ([{**CPP, "task_id": "1"}], "must begin with a language"),
        ([{"prompt": "x", "tests": "assert ("}], '"tests" is no Python code'),
    ):
        with pytest.raises(mftkit.MftError, match=message):
            made.check(*rows)


def test_a_missing_toolchain_is_refused(evaluated: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from mftkit_plugins.evaluators.execution.toolchains import TOOLCHAINS

    monkeypatch.setitem(TOOLCHAINS, "cpp", replace(TOOLCHAINS["cpp"], compile=("no-such-compiler", "x")))
    with pytest.raises(
        mftkit.MftError, match="programs in cpp cannot be run in the executor.*no-such-compiler"
    ):
        evaluated("pass-at-k").check(CPP)
