"""Reads one row of a data file in any of the accepted formats.

The first format that fits, in this order, is used:

========================================  =====================================================
keys                                      the row is
========================================  =====================================================
``chat_rounds`` (``role``, ``content``)   turns; roles system, human or user, bot or assistant
``messages`` (``role``, ``content``)      the same
``conversations`` (``from``, ``value``)   the same, ``gpt`` being another name of the assistant
a pair of ``PAIRS``                       one question and its answer, ``system`` optional
``text``                                  raw text, in tasks of format "text" only
========================================  =====================================================
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, NamedTuple

from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from mftkit.base.json_types import JsonObject

Role = Literal["system", "user", "assistant"]
RowFormat = Literal["chat", "text"]

ROLES: dict[str, Role] = {
    "system": "system",
    "human": "user",
    "user": "user",
    "bot": "assistant",
    "assistant": "assistant",
    "gpt": "assistant",
}
CONVERSATIONS = {
    "chat_rounds": ("role", "content"),
    "messages": ("role", "content"),
    "conversations": ("from", "value"),
}
PAIRS = (
    ("prompt", "answer"),
    ("prompt", "response"),
    ("instruction", "output"),
    ("instruction", "response"),
    ("input", "output"),
    ("question", "answer"),
    ("question", "response"),
    ("query", "answer"),
)
READ_KEYS = frozenset(
    {"id", "data_name", "text", "system", "group", "weight", *CONVERSATIONS, *(k for p in PAIRS for k in p)}
)
"""All keys that are read from rows; other columns need not be loaded."""

LARGEST_WEIGHT = 3.4e38
"""Largest weight of a row: log-probabilities are multiplied by it in float32."""

_KNOWN = ", ".join([*CONVERSATIONS, *("/".join(pair) for pair in PAIRS)])


class BadRow(Exception):  # noqa: N818 - a verdict, turned into a RowError where the place is known
    """A fault of a row, raised where the row's place is not known."""


class RowError(MftError):
    """A fault of a row of a data file: ``PATH:LINE: what is wrong``."""

    def __init__(self, source: str, line: int, what: str) -> None:
        super().__init__(f"{source}:{line}: {what}")


class Turn(NamedTuple):
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True)
class Conversation:
    """An optional system turn, then user and assistant turns that alternate; the last turn is the assistant's."""

    turns: tuple[Turn, ...]


@dataclass(frozen=True)
class Text:
    """Raw text; every token is in the loss."""

    content: str


def parse_row(row: object, row_format: RowFormat) -> Conversation | Text:
    """Read a row of a task with this format. Raises ``BadRow``."""
    if not isinstance(row, dict):
        raise BadRow(f"a row must be a JSON object, not {_kind(row)}")
    return _text(row) if row_format == "text" else Conversation(_turns(row))


def row_weight(row: JsonObject) -> float:
    """Return the factor of a row's tokens in the loss, by default 1. Raises ``BadRow``."""
    weight = row.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        what = f"must be a number of at least 0, not {_kind(weight)}"
    elif not 0 <= weight <= LARGEST_WEIGHT:  # NaN neither
        what = f"must be a finite number of at least 0, not {str(weight)[:20]}"
    else:
        return float(weight)
    raise BadRow(
        f"'weight' {what}: it is the row's weight in the loss (leave it out for 1; if the column means something "
        "else, rename it)"
    )


def content_digest(task: str, content: Conversation | Text) -> bytes:
    """Return the sha256 of task and content; the row's place and its other keys do not matter."""
    texts = content.content if isinstance(content, Text) else content.turns
    try:
        canonical = json.dumps([task, texts], ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        code = ord(error.object[error.start])
        raise BadRow(
            f"a lone surrogate (\\u{code:04x}) is not a character and cannot be written as UTF-8"
        ) from None
    return hashlib.sha256(canonical).digest()


def _text(row: JsonObject) -> Text:
    if "text" not in row:
        raise BadRow(
            '\'text\' is missing: the task\'s format is "text" (for questions and answers, set its format to "chat")'
        )
    return Text(_not_blank(row["text"], "'text'"))


def _turns(row: JsonObject) -> tuple[Turn, ...]:
    for key, fields in CONVERSATIONS.items():
        if key in row:
            return _in_order(
                [_turn(turn, number, *fields) for number, turn in enumerate(_list(row[key], key), 1)]
            )
    for question, answer in PAIRS:
        if question in row and answer in row:
            return _pair(row, question, answer)
    if "text" in row:
        raise BadRow('the row has only \'text\', but the task\'s format is "chat": set its format to "text"')
    keys = ", ".join(repr(key) for key in list(row)[:8]) or "none"
    raise BadRow(
        f"'chat_rounds', 'messages' or a pair of keys is missing (keys given: {keys}; known: {_KNOWN}, text)"
    )


def _pair(row: JsonObject, question: str, answer: str) -> tuple[Turn, ...]:
    prompt = _string(row[question], f"'{question}'")
    if question == "instruction" and row.get("input"):
        prompt = f"{prompt}\n\n{_string(row['input'], repr('input'))}"
    turns = (
        Turn("user", _not_empty(prompt, f"'{question}'")),
        Turn("assistant", _not_blank(row[answer], f"'{answer}'")),
    )
    system = row.get("system")
    return (Turn("system", _string(system, "'system'")), *turns) if system else turns


def _turn(turn: object, number: int, role_key: str, content_key: str) -> Turn:
    if not isinstance(turn, dict):
        raise BadRow(
            f"turn {number}: expected an object with '{role_key}' and '{content_key}', not {_kind(turn)}"
        )
    for key in (role_key, content_key):
        if key not in turn:
            raise BadRow(f"turn {number}: '{key}' is missing")
    role = turn[role_key]
    if not isinstance(role, str) or role not in ROLES:
        raise BadRow(f"turn {number}: unknown role {role!r} (known: {', '.join(ROLES)})")
    what = f"turn {number} ({role}): '{content_key}'"
    content = _string(turn[content_key], what)
    return Turn(ROLES[role], content if role == "system" else _not_empty(content, what))


def _in_order(turns: list[Turn]) -> tuple[Turn, ...]:
    roles = [turn.role for turn in turns]
    if "system" in roles[1:]:
        raise BadRow("a 'system' turn may only come first, and only once")
    talk = roles[1:] if roles[0] == "system" else roles
    if "assistant" not in talk:
        raise BadRow("there is no turn of the assistant (bot), so nothing can be trained")
    if talk[0] != "user":
        raise BadRow("the first turn (after system) must be the user's (human)")
    for number, (one, two) in enumerate(pairwise(talk), len(roles) - len(talk) + 1):
        if one == two:
            raise BadRow(f"turns must alternate: turns {number} and {number + 1} are both the {one}'s")
    if talk[-1] != "assistant":
        raise BadRow("the last turn must be the assistant's (bot): user turns are not trained")
    return tuple(turns)


def _list(value: object, key: str) -> list[object]:
    if not isinstance(value, list):
        raise BadRow(f"'{key}' must be a list of turns, not {_kind(value)}")
    if not value:
        raise BadRow(f"'{key}' has no turns")
    return value


def _not_blank(value: object, what: str) -> str:
    return _not_empty(_string(value, what), what)


def _not_empty(content: str, what: str) -> str:
    if not content or content.isspace():
        raise BadRow(f"{what} is empty" if not content else f"{what} is white space only")
    return content


def _string(value: object, what: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value:
        return "".join(_part(part, what) for part in value)
    raise BadRow(f"{what} must be a string, not {_kind(value)}")


def _part(part: object, what: str) -> str:
    if isinstance(part, dict) and part.get("type", "text") == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    raise BadRow(f'{what} must be a string, or a list of parts {{"type": "text", "text": ...}}')


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number" if isinstance(value, int | float) else type(value).__name__)
