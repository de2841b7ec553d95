"""Columns with other names than the keys by which rows are read: what they probably are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mftkit.data.rows.conversations import CONVERSATIONS
from mftkit.data.rows.formats import CORE_KEYS, PAIRS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mftkit.base.json_types import JsonObject

CHAT, TEXT = "chat", "text"
"""The formats of conversations and of raw texts; the second is also the key of a text."""
QUESTION, ANSWER, SYSTEM = "prompt", "answer", "system"
_QUESTIONS = (
    *dict.fromkeys(question for question, _answer in PAIRS),
    "problem", "problem_statement", "task", "request", "user", "human", "user_message", "description", "nl",
    "intent", "docstring", "buggy", "buggy_code", "before", "source", "src",
)  # fmt: skip
_ANSWERS = (
    *dict.fromkeys(answer for _question, answer in PAIRS),
    "solution", "canonical_solution", "reference_solution", "target", "tgt", "reply", "assistant", "bot", "gpt",
    "assistant_message", "fixed_code", "after", "code", "result", "label", "reference",
)  # fmt: skip
_TEXTS = (
    "content",
    "code",
    "body",
    "document",
    "source_code",
    "whole_func_string",
    "func",
    "function",
    "raw",
)
_SYSTEMS = ("system_prompt", "system_message")
_TURN_KEYS = {key: frozenset(names) for key, names in CONVERSATIONS.items()}
"""For each key of a conversation, the keys of its turns."""


@dataclass(frozen=True)
class Proposal:
    """How a task's rows can be read."""

    columns: dict[str, str] = field(default_factory=dict)
    """Column to key."""
    is_text: bool = False
    """Whether the rows are raw texts."""


def text_columns(rows: Sequence[JsonObject]) -> list[str]:
    """Return the columns that hold a text in most rows, in their order."""
    counts = Counter(key for row in rows for key, value in row.items() if isinstance(value, str) and value)
    return [key for key, count in counts.items() if 2 * count > len(rows) and key not in CORE_KEYS]


def propose(rows: Sequence[JsonObject]) -> Proposal | None:
    """Return how rows that no format fits are probably meant; None where that is not clear."""
    if conversation := _conversation(rows):
        return Proposal(conversation)
    columns = text_columns(rows)
    question = next((name for name in _QUESTIONS if name in columns), None)
    answer = next((name for name in _ANSWERS if name in columns and name != question), None)
    system = next((name for name in _SYSTEMS if name in columns), None)
    if question and answer:
        given = {question: QUESTION, answer: ANSWER, **({system: SYSTEM} if system else {})}
        return Proposal({column: key for column, key in given.items() if column != key})
    text = next((name for name in (TEXT, *_TEXTS) if name in columns), None)
    if text is None and len(columns) == 1:
        text = columns[0]
    if text is None:
        return None
    return Proposal({} if text == TEXT else {text: TEXT}, is_text=True)


def _conversation(rows: Sequence[JsonObject]) -> dict[str, str] | None:
    """Return the column that holds conversations, if all rows have the same one under another name."""
    for column, value in rows[0].items() if rows else ():
        turns = [turn for turn in value if isinstance(turn, dict)] if isinstance(value, list) else []
        if turns and column not in CONVERSATIONS:
            for key, needed in reversed(_TURN_KEYS.items()):
                if all(needed <= turn.keys() for turn in turns):
                    return {column: key}
    return None
