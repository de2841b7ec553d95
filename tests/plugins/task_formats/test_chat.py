"""The task format "chat": which answers are trained, and where the samples come from."""

from typing import Any

import pytest

import mftkit
from mftkit.interfaces.task_format import no_note
from mftkit.plugins import installed, kinds

TURNS = [
    {"role": "user", "content": "a?"},
    {"role": "assistant", "content": "a"},
    {"role": "user", "content": "b?"},
    {"role": "assistant", "content": "b"},
]
CONTEXT = mftkit.FormatContext("task", 0, no_note)


def chat(**options: Any) -> Any:
    return installed.build(kinds.TASK_FORMAT, "chat", options)


def trained(row: dict[str, Any], **options: Any) -> list[str]:
    conversation = chat(**options).read(row, CONTEXT).value
    return [turn.content for turn in conversation.turns if turn.trained]


def test_all_answers_are_trained_unless_the_options_or_the_row_say_otherwise() -> None:
    assert trained({"messages": TURNS}) == ["a", "b"]
    assert trained({"messages": TURNS}, train="last") == ["b"]
    assert trained({"messages": TURNS, "train": "all"}, train="last") == ["a", "b"]
    assert trained({"messages": TURNS, "train": "last"}) == ["b"]


def test_a_key_that_the_row_does_not_have_is_not_used() -> None:
    assert chat(train="last").read({"messages": TURNS}, CONTEXT).used_keys == {"messages"}
    assert chat().read({"messages": TURNS, "train": "last"}, CONTEXT).used_keys == {"messages", "train"}


def test_turns_after_the_last_answer_are_cut_off_only_where_rows_are_repaired() -> None:
    notes = []
    row = {"messages": TURNS[:3]}
    with pytest.raises(mftkit.BadRow):
        chat().read(row, CONTEXT)
    repairs = mftkit.FormatContext("task", 0, lambda text, _example="": notes.append(text), repairs=True)
    assert len(chat().read(row, repairs).value.turns) == 2
    assert len(notes) == 1
    assert "{rows}" in notes[0]


def test_the_chat_format_of_the_run_renders() -> None:
    class Renderer:
        def render(self, conversation: mftkit.Conversation, note: Any) -> Any:
            return [conversation, note]

    made = chat()
    content = made.read({"messages": TURNS}, CONTEXT)
    context = mftkit.FormatContext("task", 0, no_note, chat=Renderer())
    assert list(made.samples(content, context)) == [content.value, no_note]
