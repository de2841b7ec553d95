"""Programs by their tests or by what they print, and tests by programs, stubs and mutants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import mftkit

PROGRAM = "def least(x, y):\n    return x if x < y else y"
TESTS = "def test_one():\n    assert least(1, 2) == 1\ndef test_two():\n    assert least(2, 1) == 1\ndef test_three():\n    assert least(3, 3) == 3\n"
CASES = [{"input": "1 2\n", "output": "3\n"}, {"input": "4 5", "output": "9"}]
Make = Callable[..., Any]


def fenced(code: str, language: str = "python") -> str:
    return f"It is this:\n```{language}\n{code}\n```\nThat is all."


def test_programs_are_run_with_tests_in_python(evaluated: Make) -> None:
    made = evaluated("tests-pass")
    row = {"prompt": "Translate.", "tests": TESTS}
    found = made(
        row, fenced(PROGRAM), PROGRAM, PROGRAM.replace("<", ">"), "def least(x, y):\n    return x", ""
    )
    assert [each.passed for each in found] == [True, True, False, False, False]
    rates = [each.scores["pass-rate"] for each in found]
    assert rates[:2] == [1.0, 1.0]
    assert 0 < rates[2] < rates[3] < 1
    assert rates[4] == 0  # no assertion has ended
    assert all(each.note for each in found[2:])
    assert made.evaluator.summary([found])["tests-pass"] == pytest.approx(2 / 5)


@pytest.mark.parametrize(("language", "right", "wrong"), [
    ("python", "x, y = map(int, input().split())\nprint(x + y, '  ')", "x, y = map(int, input().split())\nprint(x * y + 1)"),
    ("c", '#include <stdio.h>\nint main(void) { int x, y; scanf("%d %d", &x, &y); printf("%d \\n\\n", x + y); return 0; }', '#include <stdio.h>\nint main(void) { puts("3"); return 0; }'),
    ("javascript", "const [x, y] = require('fs').readFileSync(0, 'utf8').split(' ').map(Number)\nconsole.log(x + y)", "console.log(3)"),
])  # fmt: skip
def test_programs_are_run_on_inputs_in_any_language(
    evaluated: Make, language: str, right: str, wrong: str
) -> None:
    made = evaluated("tests-pass", language=language)
    row = {"prompt": "Add.", "tests": CASES}
    try:
        made.check(row)
    except mftkit.MftError as error:
        assert "cannot be run in the executor" in str(error)
        pytest.skip(str(error))
    found = made(row, fenced(right, language), wrong, "no program (")
    assert [each.passed for each in found] == [True, False, False], found
    assert [each.scores["pass-rate"] for each in found] == [1.0, 0.5, 0.0]
    assert "case 2: it prints '" in found[1].note


def test_every_input_has_its_own_time(evaluated: Make) -> None:
    made = evaluated("tests-pass", seconds=0.5)
    source = "x = input()\nwhile x[0] == '1':\n    pass\nprint(9)"
    [found] = made({"prompt": "Add.", "tests": CASES}, source)
    assert (found.scores["pass-rate"], found.note) == (0.5, "case 1: it takes too long")


STRONG = "assert least(1, 2) == 1\nassert least(2, 1) == 1\nassert least(3, 3) == 3"
GIVEN = {
    "strong": (fenced(STRONG), True),
    "weak": ("assert least(1, 2) is not None", True),
    "wrong": ("assert least(1, 2) == 2", False),
    "nothing": ("assert True", False),
    "always": ("def test_it():\n    try:\n        least(1, 2)\n    except Exception:\n        pass\n    assert True", False),
    "no code": ("I cannot.", False),
}  # fmt: skip


def test_tests_are_run_with_the_program_its_stubs_and_its_mutants(evaluated: Make) -> None:
    made = evaluated("tests-pass", answer="tests", mutants=3)
    found = made({"prompt": "Test it.", "code": PROGRAM}, *(answer for answer, _passed in GIVEN.values()))
    verdicts = dict(zip(GIVEN, found, strict=True))
    assert {name: each.passed for name, each in verdicts.items()} == {
        name: p for name, (_a, p) in GIVEN.items()
    }
    killed = {name: each.scores["mutants-killed"] for name, each in verdicts.items()}
    assert killed["strong"] > killed["weak"]
    assert killed["wrong"] == killed["nothing"] == killed["always"] == 0
    assert "they test nothing" in verdicts["nothing"].note


@pytest.mark.parametrize("row", [
    {"prompt": f"Write unit tests for this Python code.\n{PROGRAM}"},
    {"prompt": f"Write unit tests.\n\n{fenced(PROGRAM)}"},
    {"prompt": "Test it.", "program": PROGRAM},
    {"chat_rounds": [], "prompt": "Test it.", "other": PROGRAM},
])  # fmt: skip
def test_the_program_is_found(evaluated: Make, row: dict[str, Any]) -> None:
    options = {"program": "other"} if "other" in row else {}
    made = evaluated("tests-pass", answer="tests", mutants=0, **options)
    assert made.passed(row, STRONG) == [True]
    assert [metric.name for metric in made.evaluator.metrics()] == ["tests-pass"]


def test_rows_without_tests_or_program_are_refused(evaluated: Make) -> None:
    for options, row, message in (
        ({}, {"prompt": "x"}, 'data.jsonl:1 has no tests under "tests"'),
        ({"tests": "cases"}, {"cases": [{"input": "1"}]}, 'no tests under "cases"'),
        ({}, {"tests": "assert ("}, "are no Python code"),
        ({"language": "cpp"}, {"tests": "assert 1"}, "or the option language is another one"),
        ({"answer": "tests"}, {"prompt": "Test this.\nint main() {}"}, "data.jsonl:1 has no Python program with a function"),
        ({"answer": "tests"}, {"code": "def f():\n    pass"}, "has no mutants"),
    ):  # fmt: skip
        with pytest.raises(mftkit.MftError, match=message):
            evaluated("tests-pass", **options).check(row)
