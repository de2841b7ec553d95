"""Rows with tools, reasoning and marks of single turns: what is read, and what is refused."""

import json
from typing import Any

import pytest

from mftkit.data.rows.faults import BadRow
from mftkit.data.rows.formats import content_digest, read_conversation, read_text
from mftkit.interfaces.conversation import Conversation, ToolCall, Turn
from mftkit.interfaces.task_format import RowContent

ASK = {"role": "user", "content": "ask"}
ANSWER = {"role": "assistant", "content": "answer"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
RESULT = {"role": "tool", "content": "2", "tool_call_id": "c1", "name": "f"}


def messages(*turns: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"messages": list(turns), **more}


def read(row: dict[str, Any], **more: Any) -> Conversation:
    found = read_conversation(row, **more).value
    assert isinstance(found, Conversation)
    return found


def notes(row: dict[str, Any]) -> list[str]:
    found: list[str] = []
    read_conversation(row, note=lambda text, example="": found.append(text + example), cut_off=True)
    return found


@pytest.mark.parametrize(
    "turn",
    [
        {"tool_calls": [CALL], "content": None},
        {"tool_calls": [CALL]},
        {"tool_calls": json.dumps([CALL]), "content": ""},
        {"tool_calls": [{**CALL, "function": {"name": "f", "arguments": '{"x": 1}'}}]},
        {"tool_calls": [{"id": "c1", "name": "f", "arguments": {"x": 1}}]},
        {"tool_calls": [{"id": "c1", "name": "f", "parameters": {"x": 1}}]},
    ],
)
def test_calls_of_tools_are_read_in_every_form(turn: dict[str, Any]) -> None:
    found = read(messages(ASK, {"role": "assistant", **turn}, RESULT, ANSWER))
    assert found.turns == (
        Turn("user", "ask"),
        Turn("assistant", "", (ToolCall("f", {"x": 1}, "c1"),)),
        Turn("tool", "2", name="f", tool_call_id="c1"),
        Turn("assistant", "answer"),
    )


def test_older_forms_of_calls_are_the_same() -> None:
    call = json.dumps({"name": "f", "arguments": {"x": 1}})
    older = messages(ASK, {"role": "assistant", "content": None, "function_call": json.loads(call)},
                     {"role": "function", "name": "f", "content": "2"}, ANSWER)  # fmt: skip
    share = {
        "conversations": [
            {"from": "human", "value": "ask"},
            {"from": "function_call", "value": call},
            {"from": "observation", "value": "2"},
            {"from": "gpt", "value": "answer"},
        ]
    }
    expected = (Turn("user", "ask"), Turn("assistant", "", (ToolCall("f", {"x": 1}),)))
    for row in (older, share):
        found = read(row).turns
        assert found[:2] == expected
        assert [(turn.role, turn.content) for turn in found[2:]] == [("tool", "2"), ("assistant", "answer")]


@pytest.mark.parametrize("key", ["tools", "functions"])
@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize("wrapped", [False, True])
def test_tools_are_read_in_every_form(key: str, as_text: bool, wrapped: bool) -> None:
    inner = {"name": "f", "parameters": {"type": "object", "properties": {}}}
    tools = [{"type": "function", "function": inner} if wrapped else inner]
    found = read(messages(ASK, ANSWER, **{key: json.dumps(tools) if as_text else tools}))
    assert found.tools == ({"type": "function", "function": inner},)
    assert read(messages(ASK, ANSWER, **{key: []})).tools == ()


@pytest.mark.parametrize("content", [{"t": 1}, [1, 2], 3, ""])
def test_a_result_of_a_tool_may_be_any_json(content: Any) -> None:
    found = read(
        messages(
            ASK, {"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "content": content}, ANSWER
        )
    )
    assert found.turns[2].content == (content if isinstance(content, str) else json.dumps(content))


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning", "thinking"])
def test_reasoning_is_read_from_each_key_of_a_turn_or_a_pair(key: str) -> None:
    assert read(messages(ASK, {**ANSWER, key: "why"})).turns[1] == Turn(
        "assistant", "answer", reasoning="why"
    )
    assert read({"prompt": "ask", "answer": "answer", key: "why"}).turns[1].reasoning == "why"
    assert read(messages(ASK, {**ANSWER, key: "  "})).turns[1].reasoning is None


@pytest.mark.parametrize(
    ("turn", "weight"),
    [({"train": False}, 0), ({"weight": 0}, 0), ({"loss": False}, 0), ({"train": True}, 1), ({"weight": 0.5}, 0.5),
     ({"weight": 2, "train": False}, 0), ({"weight": None, "train": None}, 1)],
)  # fmt: skip
def test_a_turn_says_whether_and_how_much_it_is_trained(turn: dict[str, Any], weight: float) -> None:
    row = messages(ASK, {**ANSWER, **turn}, ASK, ANSWER)
    assert [turn.weight for turn in read(row).turns] == [1, weight, 1, 1]
    assert any("context only" in note for note in notes(row)) == (weight == 0)


def test_a_row_says_which_of_its_answers_are_trained() -> None:
    turns = (ASK, ANSWER, ASK, {**ANSWER, "weight": 2})
    assert [turn.weight for turn in read(messages(*turns, train="last")).turns] == [1, 0, 1, 2]
    assert [turn.weight for turn in read(messages(*turns, train="all")).turns] == [1, 1, 1, 2]


def test_history_and_lists_of_messages_come_before_a_pair() -> None:
    pair = {
        "instruction": "now",
        "input": "",
        "output": "yes",
        "history": [["q", "a"], ["r", "b"]],
        "system": "s",
    }
    assert [turn.content for turn in read(pair).turns] == ["s", "q", "a", "r", "b", "now", "yes"]
    assert read(pair).trained == (2, 4, 6)
    lists = {"prompt": [ASK, ANSWER, ASK], "completion": [ANSWER]}
    assert read(lists).trained == (3,)
    assert read({"prompt": "ask", "completion": "answer"}).turns[1].content == "answer"
    assert read({"prompt": [ASK], "completion": "answer"}).turns[1].content == "answer"
    assert read_text({"prompt": "a", "completion": "b"}).value != read_text({"text": "ab"}).value


def test_turns_after_the_last_answer_are_a_fault_or_cut_off_with_a_note() -> None:
    call = {"role": "assistant", "tool_calls": [CALL]}
    for row in (messages(ASK, ANSWER, ASK), messages(ASK, call, RESULT), messages(ASK, ANSWER, ASK, ASK)):
        with pytest.raises(BadRow, match=r"the last turn must be the assistant's.*on_bad_row"):
            read(row)
        assert len(read(row, cut_off=True).turns) == 2
        assert any("cut off" in note for note in notes(row))


@pytest.mark.parametrize(
    ("row", "what"),
    [
        (messages(ASK, {"role": "assistant", "tool_calls": "no json"}), "turn 2 (assistant): 'tool_calls' is a string that is not valid JSON"),
        (messages(ASK, {"role": "assistant", "tool_calls": [{"function": {}}]}), 'must be an object with "name" and "arguments"'),
        (messages(ASK, {"role": "assistant", "tool_calls": [{"name": "f", "arguments": "x="}]}), "(f): 'arguments' is a string that is not valid"),
        (messages(ASK, {"role": "assistant", "tool_calls": [{"name": "f", "arguments": [1]}]}), "(f): 'arguments' must be an object"),
        (messages(ASK, RESULT, ANSWER), "turn 2 (tool) is the result of a tool, but turn 1 calls none"),
        (messages({**ASK, "tool_calls": [CALL]}, ANSWER), "only the assistant calls tools"),
        (messages(ASK, ANSWER, tools=[3]), "'tools': tool 1 must be an object"),
        (messages(ASK, ANSWER, tools="{}"), "'tools' must be a list of tools, not an object"),
        (messages(ASK, {**ANSWER, "reasoning": "a", "thinking": "b"}), "'reasoning' and 'thinking' differ"),
        (messages({**ASK, "reasoning": "a"}, ANSWER), "only turns of the assistant have reasoning"),
        (messages({**ASK, "train": True}, ANSWER), "only turns of the assistant are trained"),
        (messages(ASK, {**ANSWER, "train": "no"}), "'train' must be true or false"),
        (messages(ASK, {**ANSWER, "weight": -1}), "'weight' must be a finite number of at least 0"),
        (messages(ASK, {**ANSWER, "weight": True}), "'weight' must be a finite number of at least 0"),
        (messages(ASK, {**ANSWER, "train": False}), "no answer is trained"),
        (messages(ASK, ANSWER, train="some"), "'train' must be \"all\" or \"last\""),
        (messages(ASK, ANSWER, ANSWER), "turns must alternate: turns 2 and 3 are both the assistant's"),
        (messages({"role": "system", "content": "a"}, ASK, ANSWER, system="b"), "keep one of them"),
        (messages(ASK, {**ANSWER, "images": ["a.png"]}), "'images' cannot be rendered"),
        (messages(ASK, ANSWER, images=["a.png"]), "'images' holds media"),
        ({"prompt": "p", "chosen": "a", "rejected": "b"}, "preferences are not trained yet"),
        (messages(ASK, ANSWER, chosen=[ASK], rejected=[ASK]), "preferences are not trained yet"),
        ({"instruction": "a", "output": "b", "history": ["q"]}, "'history': entry 1 must be [question, answer]"),
    ],
)  # fmt: skip
def test_what_could_only_be_lost_is_refused(row: dict[str, Any], what: str) -> None:
    with pytest.raises(BadRow) as caught:
        read(row)
    assert what in str(caught.value)


def test_used_and_unused_keys_are_distinguished() -> None:
    row = messages(ASK, {**ANSWER, "id": 3, "train": True}, url="u", tools=[], system="s", text="t")
    found = read_conversation(row)
    assert found.used_keys == {"messages", "tools", "system"}
    assert found.unused == {"messages[].id"}
    pair = read_conversation({"instruction": "a", "input": "", "output": "b", "thinking": "c", "answer": "d"})
    assert pair.used_keys == {"instruction", "input", "output", "thinking"}


def test_calls_reasoning_and_weights_make_rows_differ() -> None:
    rows = [
        messages(ASK, ANSWER),
        messages(ASK, {**ANSWER, "reasoning": "why"}),
        messages(ASK, {**ANSWER, "tool_calls": [CALL]}),
        messages(ASK, {**ANSWER, "weight": 2}),
        messages(ASK, ANSWER, tools=[{"name": "f"}]),
    ]
    contents: list[RowContent] = [read_conversation(row) for row in rows]
    assert len({content_digest("t", content) for content in contents}) == len(rows)
