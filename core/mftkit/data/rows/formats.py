"""Reads one row of a data file in any of the accepted formats.

The first format that fits, in this order, is used:

========================================  =====================================================
keys                                      the row is
========================================  =====================================================
``chat_rounds`` (``role``, ``content``)   turns; roles system, human or user, bot or assistant, tool, ...
``messages`` (``role``, ``content``)      the same
``conversations`` (``from``, ``value``)   the same, ``gpt`` being another name of the assistant
a pair of ``PAIRS``                       one question and its answer; ``system`` and ``history`` optional
``text``                                  raw text, in tasks of format "text" only
========================================  =====================================================
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from mftkit.data.rows.conversations import CONVERSATIONS, STARTS, conversation_identity, in_order, read_turns
from mftkit.data.rows.faults import BadRow
from mftkit.data.rows.reasoning import REASONING_KEYS, reasoning_of
from mftkit.data.rows.tools import read_tools
from mftkit.data.rows.unusable import (
    refuse_beside_text,
    refuse_media,
    refuse_preferences,
    refuse_unused,
)
from mftkit.data.rows.values import LARGEST_WEIGHT, kind_of, not_blank, string
from mftkit.interfaces.conversation import Conversation, Turn
from mftkit.interfaces.task_format import RowContent

if TYPE_CHECKING:
    from mftkit.base.json_types import JsonObject
    from mftkit.interfaces.task_format import Note

PAIRS = (
    ("prompt", "answer"),
    ("prompt", "response"),
    ("prompt", "completion"),
    ("instruction", "output"),
    ("instruction", "response"),
    ("input", "output"),
    ("question", "answer"),
    ("question", "response"),
    ("query", "answer"),
)
CORE_KEYS = frozenset({"id", "data_name", "group", "weight"})
"""Keys that are read from rows of every format."""
READ_KEYS = frozenset(
    {
        *CORE_KEYS,
        *CONVERSATIONS,
        *(key for pair in PAIRS for key in pair),
        *REASONING_KEYS,
        "text",
        "system",
        "history",
        "tools",
        "functions",
        "train",
    }
)
"""All keys that rows may have for the built-in formats."""

_KNOWN = ", ".join([*CONVERSATIONS, *("/".join(pair) for pair in PAIRS)])


@dataclass(frozen=True)
class TextContent:
    """Raw text. All tokens are in the loss, but for those of the prompt."""

    content: str
    prompt: str = ""
    """TextContent before it that is not in the loss."""


def read_conversation(row: object, *, note: Note | None = None, cut_off: bool = False) -> RowContent:
    """Read a row as a conversation. Raises ``BadRow``.

    Args:
        row: the row, as a file has it.
        note: receives what is reported of the row; None: it is discarded.
        cut_off: True to leave out turns after the last answer, with a note; otherwise they are a fault.

    Returns:
        The content of the row; its ``value`` is a ``Conversation``.
    """
    row = _checked(row)
    found = _turns(row)
    tools, tool_keys = read_tools(row, found.system)
    ordered = in_order(found.turns, cut_off=cut_off)
    if note is not None and len(ordered) < len(found.turns):
        note("in {rows}, turns after the last answer are cut off: only answers are trained")
    turns = _choose_trained(row, ordered)
    if note is not None and any(turn.role == "assistant" and not turn.trained for turn in found.turns):
        note("in {rows}, some answers are context only: 'train' is false or 'weight' is 0")
    conversation = Conversation(turns, tools)
    texts = [text for turn in turns for text in (turn.reasoning, turn.content) if text]
    texts += [json.dumps(call.arguments, ensure_ascii=False) for turn in turns for call in turn.tool_calls]
    texts += [json.dumps(tool, ensure_ascii=False) for tool in tools]
    used = frozenset({*found.used, *tool_keys, *({"train"} & set(row))})
    refuse_unused(row, used)
    identity = conversation_identity(conversation)
    return RowContent(conversation, tuple(texts), identity, used, frozenset(found.unused))


def read_text(row: object) -> RowContent:
    """Read a row as raw text: ``text``, or ``prompt`` and ``completion``. Raises ``BadRow``.

    The ``value`` of the content is a ``TextContent``.
    """
    row = _checked(row)
    refuse_beside_text(row)
    if row.get("text") is not None:
        text = not_blank(row["text"], "'text'")
        return RowContent(TextContent(text), (text,), text, frozenset({"text"}))
    if isinstance(row.get("prompt"), str) and row.get("completion") is not None:
        prompt, text = row["prompt"], not_blank(row["completion"], "'completion'")
        used = frozenset({"prompt", "completion"})
        return RowContent(TextContent(text, prompt), (prompt, text), [prompt, text], used)
    raise BadRow(
        "'text' is missing (or 'prompt' and 'completion'): the task's format is \"text\" "
        '(for questions and answers, set its format to "chat")'
    )


def row_weight(row: JsonObject) -> float:
    """Return the factor of a row's tokens in the loss, by default 1. Raises ``BadRow``."""
    weight = row.get("weight", 1.0)
    if weight is None:
        return 1.0
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        what = f"must be a number of at least 0, not {kind_of(weight)}"
    elif not 0 <= weight <= LARGEST_WEIGHT:  # NaN neither
        what = f"must be a finite number of at least 0, not {str(weight)[:20]}"
    else:
        return float(weight)
    raise BadRow(
        f"'weight' {what}: it is the row's weight in the loss (leave it out for 1; if the column means something "
        "else, rename it)"
    )


def content_digest(task: str, content: RowContent) -> bytes:
    """Return the sha256 of task and content; the row's place and its other keys do not matter."""
    try:
        canonical = json.dumps(
            [task, content.identity], ensure_ascii=False, separators=(",", ":"), sort_keys=True
        ).encode()
    except UnicodeEncodeError as error:
        code = ord(error.object[error.start])
        raise BadRow(
            f"a lone surrogate (\\u{code:04x}) is not a character and cannot be written as UTF-8"
        ) from None
    return hashlib.sha256(canonical).digest()


def _checked(row: object) -> JsonObject:
    """Return the row without null keys. Raises BadRow for content that could only be dropped."""
    if not isinstance(row, dict):
        raise BadRow(f"a row must be a JSON object, not {kind_of(row)}")
    row = {key: value for key, value in row.items() if value is not None}
    refuse_preferences(row)
    refuse_media(row)
    return row


class _Found(NamedTuple):
    """The turns as the row has them."""

    turns: list[Turn]
    used: set[str]
    """Keys of the row that were used."""
    unused: set[str]
    """Keys of turns that were not."""
    system: JsonObject | None = None
    """The system turn, if the row's turns begin with one."""


def _turns(row: JsonObject) -> _Found:
    for key, fields in CONVERSATIONS.items():
        if key in row:
            turns, unused = read_turns(row[key], key, *fields)
            first = row[key][0] if turns[0].role in STARTS else None
            return _with_system(row, _Found(turns, {key}, unused, first))
    for question, answer in PAIRS:
        if question in row and answer in row:
            return _with_system(row, _pair(row, question, answer))
    if "text" in row:
        raise BadRow('the row has only \'text\', but the task\'s format is "chat": set its format to "text"')
    keys = ", ".join(repr(key) for key in list(row)[:8]) or "none"
    raise BadRow(
        f"'chat_rounds', 'messages' or a pair of keys is missing (keys given: {keys}; known: {_KNOWN}, text)"
    )


def _with_system(row: JsonObject, found: _Found) -> _Found:
    """Put the row's own key 'system' before the turns."""
    if "system" not in row:
        return found
    found.used.add("system")
    system = string(row["system"], "'system'")
    if found.turns[0].role not in ("system", "developer"):
        return found._replace(turns=[Turn("system", system), *found.turns]) if system else found
    if system and system != found.turns[0].content:
        raise BadRow("the row has a key 'system' and a system turn that differs from it: keep one of them")
    return found


def _pair(row: JsonObject, question: str, answer: str) -> _Found:
    found = _Found([], {question, answer}, set())
    if "history" in row:
        found.turns.extend(_history(row["history"]))
        found.used.add("history")
    if _is_turns(row[question]):
        turns, unused = read_turns(row[question], question, "role", "content")
        found.turns.extend(_context(turn) for turn in turns)
        found.unused.update(unused)
    else:
        prompt = string(row[question], f"'{question}'")
        if question == "instruction" and row.get("input"):
            prompt = f"{prompt}\n\n{string(row['input'], repr('input'))}"
        found.used.update({"input"} & set(row) if question == "instruction" else ())
        found.turns.append(Turn("user", not_blank(prompt, f"'{question}'")))
    if _is_turns(row[answer]):
        turns, unused = read_turns(row[answer], answer, "role", "content")
        found.turns.extend(turns)
        found.unused.update(unused)
    else:
        found.used.update(key for key in REASONING_KEYS if key in row)
        content = not_blank(row[answer], f"'{answer}'")
        found.turns.append(Turn("assistant", content, reasoning=reasoning_of(row, content, "")))
    return found


def _context(turn: Turn) -> Turn:
    """Return an answer as context, which is not trained."""
    return replace(turn, weight=0.0) if turn.trained else turn


def _is_turns(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict) and "role" in value[0]


def _history(history: object) -> list[Turn]:
    """Read Alpaca's ``history``: pairs of a question and its answer."""
    if not isinstance(history, list):
        raise BadRow(f"'history' must be a list of [question, answer], not {kind_of(history)}")
    turns = []
    for number, pair in enumerate(history, 1):
        if not isinstance(pair, list) or len(pair) != 2:
            raise BadRow(f"'history': entry {number} must be [question, answer]")
        question, answer = (not_blank(text, f"'history', entry {number}") for text in pair)
        turns += [Turn("user", question), Turn("assistant", answer)]
    return turns


def _choose_trained(row: JsonObject, turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """Apply the row's key ``train``: which of its answers are trained."""
    chosen = row.get("train", "all")
    if chosen not in ("all", "last"):
        raise BadRow(
            f'\'train\' must be "all" or "last" (which answers are trained), not {json.dumps(chosen)[:40]}; '
            "for a single turn, put true or false into the turn"
        )
    if chosen == "last":
        turns = tuple(
            _context(turn) if number < len(turns) - 1 else turn for number, turn in enumerate(turns)
        )
    if not any(turn.trained for turn in turns):
        raise BadRow("no answer is trained: 'train' is false or 'weight' is 0 in every turn of the assistant")
    return turns
