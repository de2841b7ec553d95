"""Keys that carry training content which cannot be used are errors; what says nothing is only not used."""

from typing import Any

import pytest

from mftkit.data.rows.faults import BadRow
from mftkit.data.rows.formats import read_conversation, read_text

TALK = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
PAIR = {"prompt": "q", "completion": "a"}
TURNS = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**TALK, "system_prompt": "s"}, '{"system_prompt": "system"}'),
        ({**TALK, "history": [["q", "a"]]}, "'history' is read only beside a question"),
        ({**TALK, "reasoning": "r"}, "move it into the turn"),
        ({**TALK, "documents": [{"text": "d"}]}, "'documents' cannot be rendered"),
        ({**PAIR, "tool_calls": [{"name": "f"}]}, 'write the row as "messages"'),
        ({**PAIR, "input": "x"}, "'input' is read only beside \"instruction\""),
        ({"instruction": "q", "context": "c", "response": "a"}, '{"context": "input"}'),
        ({**PAIR, "label": False}, "preferences are not trained yet"),
        ({"prompt": "q", "chosen": "a", "rejected": "b"}, '{"chosen": "completion"}'),
        ({"chosen": TURNS, "rejected": TURNS}, '{"chosen": "messages"}'),
        ({"chosen": "a", "rejected": "b"}, '{"chosen": "text"}'),
    ],
)
def test_a_conversation_with_content_that_cannot_be_used_is_bad(row: dict[str, object], message: str) -> None:
    with pytest.raises(BadRow) as fault:
        read_conversation(row)
    assert message in str(fault.value)


@pytest.mark.parametrize("key", ["system", "reasoning", "tools", "history", "tool_calls"])
def test_a_text_uses_nothing_but_itself(key: str) -> None:
    with pytest.raises(BadRow, match=f"'{key}' cannot be used in a task with format \"text\""):
        read_text({"text": "t", key: "x"})
    assert read_text({"text": "t", key: ""}).texts == ("t",)


def test_a_text_that_must_not_be_trained_is_bad() -> None:
    with pytest.raises(BadRow, match="'train' is false"):
        read_text({"text": "t", "train": False})
    assert read_text({"text": "t", "train": True}).texts == ("t",)


@pytest.mark.parametrize(
    ("key", "value"), [("train_on_turn", False), ("mask", True), ("training", False), ("train_detail", [])]
)
def test_other_programs_masks_of_turns_are_errors(key: str, value: object) -> None:
    row = {"messages": [TURNS[0], {**TURNS[1], key: value}]}
    with pytest.raises(BadRow, match=rf"turn 2 \(assistant\): '{key}' is not read: use 'train'"):
        read_conversation(row)


@pytest.mark.parametrize("key", ["refusal", "images", "audio"])
def test_a_turn_with_what_cannot_be_rendered_is_bad(key: str) -> None:
    with pytest.raises(BadRow, match=f"'{key}' cannot be rendered"):
        read_conversation({"messages": [TURNS[0], {**TURNS[1], key: "x"}]})


@pytest.mark.parametrize(
    "row", [{**TALK, "label": 1}, {**TALK, "system_prompt": "", "documents": []}, {**TALK, "text": "q a"}]
)
def test_keys_without_such_content_are_only_not_used(row: dict[str, Any]) -> None:
    assert read_conversation(row).used_keys == {"messages"}
