"""The texts of a row in any format, for code that looks at texts and not at turns."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from mftkit.data.rows.conversations import CONVERSATIONS
from mftkit.data.rows.faults import BadRow
from mftkit.data.rows.formats import PAIRS, TextContent, read_conversation, read_text
from mftkit.interfaces.conversation import Conversation

if TYPE_CHECKING:
    from mftkit.base.json_types import JsonObject
    from mftkit.interfaces.conversation import Turn


class RowTexts(NamedTuple):
    """A row's texts."""

    prompts: tuple[str, ...]
    """Contents of the system's and the user's turns; empty for a raw text."""
    answers: tuple[str, ...]
    """Contents of the assistant's turns, or the raw text."""

    @property
    def all(self) -> tuple[str, ...]:
        """Every content, prompts first."""
        return (*self.prompts, *self.answers)


def content_of(row: JsonObject) -> Conversation | TextContent:
    """Read a row as a conversation, otherwise as a text. Raises BadRow if it is neither."""
    try:
        conversation = read_conversation(row, cut_off=True).value
    except BadRow:
        if "text" not in row:
            raise
    else:
        assert isinstance(conversation, Conversation), "a conversation was read"
        return conversation
    text = read_text(row).value
    assert isinstance(text, TextContent), "a text was read"
    return text


def row_texts(row: JsonObject) -> RowTexts:
    """Return a row's texts. Raises BadRow for an object that is not a row."""
    content = content_of(row)
    if isinstance(content, TextContent):
        return RowTexts((), (content.content,))
    return RowTexts(
        tuple(turn.content for turn in content.turns if turn.role != "assistant"),
        tuple(_answer_text(turn) for turn in content.turns if turn.role == "assistant"),
    )


def format_name(row: JsonObject) -> str:
    """Return the keys by which a good row is read.

    >>> format_name({"id": 1, "prompt": "Why?", "answer": "So."})
    'prompt/answer'
    """
    for key in CONVERSATIONS:
        if key in row:
            return key
    return next(("/".join(pair) for pair in PAIRS if pair[0] in row and pair[1] in row), "text")


def with_answer(row: JsonObject, answer: str) -> JsonObject:
    """Return a copy of a row with another last answer (or another raw text)."""
    for key, (_, content) in CONVERSATIONS.items():
        if key in row:
            *before, last = row[key]
            return {**row, key: [*before, {**last, content: answer}]}
    for question_key, answer_key in PAIRS:
        if question_key in row and answer_key in row:
            return {**row, answer_key: answer}
    return {**row, "text": answer}


def _answer_text(turn: Turn) -> str:
    """Return an answer's content, and its calls of tools as JSON."""
    calls = [
        json.dumps({"name": call.name, "arguments": call.arguments}, ensure_ascii=False)
        for call in turn.tool_calls
    ]
    return "\n".join(text for text in (turn.content, *calls) if text)
