"""Length, repetition, and code that does not parse."""

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from mftkit_plugins.filters.well_formed import WellFormed


def pair(question: Any, answer: Any) -> Any:
    return {"prompt": question, "answer": answer}


@pytest.mark.parametrize(
    ("options", "row", "reason"),
    [
        ({"min_question": 5}, pair("Why?", "So."), "the question is too short"),
        ({"max_question": 3}, pair("Why?", "So."), "the question is too long"),
        ({"min_answer": 5}, pair("Why?", "So."), "the answer is too short"),
        ({"max_answer": 2}, pair("Why?", "So."), "the answer is too long"),
        ({"max_answer": 2}, {"text": "def"}, "the answer is too long"),
        ({}, pair("Why?", "So:\n```python\ndef f(:\n```\n"), "the code does not parse as python"),
        ({"code": "json"}, pair("Why?", "```json\n{1: 2}\n```"), "the code does not parse as json"),
        (
            {"needs_code": True},
            pair("Why?", "Because it is so."),
            "the answer is not code that parses as python",
        ),
        (
            {"needs_code": True},
            pair("Why?", "```java\nint x;\n```"),
            "the answer is not code that parses as python",
        ),
        ({"max_repeated_lines": 0.5}, pair("Why?", "x = 1\n" * 9), "the answer repeats itself"),
    ],
)
def test_what_is_wrong_is_dropped_for_its_reason(
    options: dict[str, Any], row: dict[str, str], reason: str, pass_through: Callable[..., Any]
) -> None:
    found = pass_through("well-formed", [row], **options)
    assert (found.kept, dict(found.reasons)) == ([], {reason: 1})


@pytest.mark.parametrize(
    ("options", "row"),
    [
        ({"min_question": 4, "max_question": 4, "min_answer": 3, "max_answer": 3}, pair("Why?", "So.")),
        ({}, pair("Why?", "So:\n```\nnot python at all:\n```\nand ```java\nint x;\n```")),
        ({"code": None}, pair("Why?", "```python\ndef f(:\n```")),
        ({"needs_code": True}, pair("Why?", "def f(x):\n    return x\n")),
        ({"needs_code": True}, pair("Why?", "So:\n```py\nx = 1\n```")),
        ({"needs_code": True, "code": "json"}, pair("Why?", '{"x": 1}')),
        ({"min_question": 10}, {"text": "x = 1"}),
        ({"max_repeated_lines": 0.5}, pair("Why?", "x = 1\n" * 5)),
    ],
)
def test_what_is_well_stays(
    options: dict[str, Any], row: dict[str, str], pass_through: Callable[..., Any]
) -> None:
    assert pass_through("well-formed", [row], **options).kept == [row]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_answer": 5, "max_answer": 4}, "max_answer is less than min_answer"),
        ({"needs_code": True, "code": None}, "needs_code requires a language"),
    ],
)
def test_options_that_no_row_could_meet_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        WellFormed.Options(**options)
