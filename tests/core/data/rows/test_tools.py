"""Turns as rows have them: tools, results, reasoning, weights and names."""

from collections.abc import Mapping
from typing import Any

import pytest

from mftkit.data.rows.faults import BadRow
from mftkit.data.rows.formats import read_conversation
from mftkit.interfaces.conversation import Conversation, ToolCall
from mftkit.interfaces.task_format import RowContent

USER = {"role": "user", "content": "q"}
ANSWER = {"role": "assistant", "content": "a"}
CALL = {"role": "assistant", "content": None, "tool_calls": [{"name": "f", "arguments": {}}]}
TOOL = {"name": "f", "description": "d", "parameters": {}}


def read(*turns: Mapping[str, object], **row: object) -> RowContent:
    return read_conversation({"messages": list(turns), **row})


def conversation(*turns: Mapping[str, object], **row: object) -> Conversation:
    found = read(*turns, **row).value
    assert isinstance(found, Conversation)
    return found


@pytest.mark.parametrize(
    ("result", "content"),
    [
        ({"temp": 3}, '{"temp": 3}'),
        ([{"temp": 3}, {"temp": 4}], '[{"temp": 3}, {"temp": 4}]'),
        ([1, "é"], '[1, "é"]'),
        ([{"type": "text", "text": "3"}], "3"),
        ([], ""),
        (False, "false"),
    ],
)
def test_a_tools_result_may_be_any_json(result: object, content: str) -> None:
    assert conversation(USER, CALL, {"role": "tool", "content": result}, ANSWER).turns[2].content == content


def test_a_tools_result_with_an_image_is_bad() -> None:
    with pytest.raises(BadRow, match=r"turn 3 \(tool\): 'content' must be a string"):
        read(USER, CALL, {"role": "tool", "content": [{"type": "image_url"}]}, ANSWER)


@pytest.mark.parametrize("arguments", [None, "", "  ", "{}", [], {}])
def test_a_call_may_have_no_arguments(arguments: object) -> None:
    call = {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": arguments}}]}
    assert conversation(USER, call).turns[1].tool_calls == (ToolCall("f", {}),)


@pytest.mark.parametrize("calls", [None, [], "", "[]", "null", {}])
def test_an_answer_without_calls(calls: object) -> None:
    assert conversation(USER, {**ANSWER, "tool_calls": calls}).turns[1].tool_calls == ()


@pytest.mark.parametrize("tools", [None, [], "", "[]", "null"])
def test_a_row_without_tools(tools: object) -> None:
    assert conversation(USER, ANSWER, tools=tools).tools == ()


def test_tools_of_the_system_turn_are_those_of_the_row() -> None:
    system = {"role": "system", "content": "s", "tools": [TOOL]}
    found = read(system, USER, ANSWER)
    assert found.value == conversation({"role": "system", "content": "s"}, USER, ANSWER, tools=[TOOL])
    assert not found.unused
    with pytest.raises(BadRow, match="has both 'tools' and turn 1: 'tools'"):
        read(system, USER, ANSWER, tools=[TOOL])
    with pytest.raises(BadRow, match="turn 1: 'tools' is read only in the row or its system turn"):
        read({**USER, "tools": [TOOL]}, ANSWER)


def test_a_tool_in_the_flat_form_of_openais_responses() -> None:
    flat = conversation(USER, ANSWER, tools=[{"type": "function", **TOOL}])
    assert flat.tools == ({"type": "function", "function": TOOL},)


@pytest.mark.parametrize(
    ("turn", "unused"),
    [
        ({**USER, "name": "Ann"}, {"messages[].name"}),
        ({**USER, "tool_call_id": "1"}, {"messages[].tool_call_id"}),
        ({**USER, "train": False}, set()),
    ],
)
def test_keys_of_a_users_turn_that_are_not_used(turn: Mapping[str, object], unused: set[str]) -> None:
    assert read(turn, ANSWER).unused == unused


def test_reasoning_given_twice_must_be_the_same() -> None:
    inline = {"role": "assistant", "content": "<think>\nr\n</think>\n\na"}
    assert conversation(USER, {**inline, "reasoning": "r"}).turns[1].reasoning == "r"
    for key in ("thinking", "reasoning_content"):
        with pytest.raises(BadRow, match=f"'{key}' differs from the reasoning in the answer itself"):
            read(USER, {**inline, key: "other"})


@pytest.mark.parametrize("weight", [1e39, -1, float("nan"), "1", True])
def test_a_turns_weight_fits_into_a_float32(weight: Any) -> None:
    with pytest.raises(BadRow, match=r"turn 2 \(assistant\): 'weight' must be a finite number"):
        read(USER, {**ANSWER, "weight": weight})
