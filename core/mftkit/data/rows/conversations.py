"""Reads a list of turns, and checks their order."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING

from mftkit.data.rows.faults import BadRow
from mftkit.data.rows.reasoning import REASONING_KEYS, reasoning_of
from mftkit.data.rows.tools import TOOLS, read_call, read_calls
from mftkit.data.rows.unusable import refuse_in_turn
from mftkit.data.rows.values import LARGEST_WEIGHT, kind_of, not_blank, string
from mftkit.interfaces.conversation import Conversation, Turn

if TYPE_CHECKING:
    from collections.abc import Collection

    from mftkit.base.json_types import JsonObject
    from mftkit.interfaces.conversation import Role, ToolCall

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "developer",
    "human": "user",
    "user": "user",
    "bot": "assistant",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "tool_call": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "ipython": "tool",
    "tool_response": "tool",
    "function_response": "tool",
}
_CALLS = ("function_call", "tool_call")
"""Roles of ShareGPT's turns whose content is a call as JSON."""
CONVERSATIONS = {
    "chat_rounds": ("role", "content"),
    "messages": ("role", "content"),
    "conversations": ("from", "value"),
}
_TRAINED = ("train", "loss")
"""Keys of a turn that say whether it is trained."""
_KEYS = frozenset({"weight", *_TRAINED, *REASONING_KEYS, "tool_calls", "function_call"})
"""Keys of every turn; those of answers are a fault elsewhere, unless they are empty."""
_RESULT_KEYS = frozenset({"name", "tool_call_id"})
"""Keys of a tool's turns."""
STARTS = ("system", "developer")
"""Roles of a turn that may come first."""


def read_turns(value: object, key: str, role_key: str, content_key: str) -> tuple[list[Turn], set[str]]:
    """Read the turns of a row's ``key``: the turns, and the keys of turns that are not used. Raises BadRow."""
    if not isinstance(value, list):
        raise BadRow(f"'{key}' must be a list of turns, not {kind_of(value)}")
    if not value:
        raise BadRow(f"'{key}' has no turns")
    turns, unused = [], set()
    for number, turn in enumerate(value, 1):
        if not isinstance(turn, dict):
            raise BadRow(
                f"turn {number}: expected an object with '{role_key}' and '{content_key}', not {kind_of(turn)}"
            )
        given = {name: entry for name, entry in turn.items() if entry is not None}
        turns.append(_turn(given, number, role_key, content_key))
        if more := given.keys() - {role_key, content_key}:
            unused |= {f"{key}[].{name}" for name in _unused(more, given, number, turns[-1].role)}
    return turns, unused


def _unused(names: Collection[str], turn: JsonObject, number: int, role: Role) -> set[str]:
    """Return the keys of a turn that are not used. Raises BadRow for tools in a turn that cannot have them."""
    unused = set(names) - _KEYS - (_RESULT_KEYS if role == "tool" else frozenset())
    tools = unused.intersection(TOOLS)
    if number == 1 and role in STARTS:
        return unused - tools
    for key in sorted(tools):
        if turn[key]:
            raise BadRow(f"turn {number}: '{key}' is read only in the row or its system turn: move it there")
    return unused


def in_order(turns: list[Turn], *, cut_off: bool) -> tuple[Turn, ...]:
    """Check the order of turns. With ``cut_off``, turns after the last answer are left out; otherwise a fault."""
    roles = [turn.role for turn in turns]
    if any(role in STARTS for role in roles[1:]):
        raise BadRow("a 'system' turn may only come first, and only once")
    first = 1 if roles[0] in STARTS else 0
    if "assistant" not in roles:
        raise BadRow("there is no turn of the assistant (bot), so nothing can be trained")
    if roles[first] != "user":
        raise BadRow("the first turn (after system) must be the user's (human)")
    for number, (one, two) in enumerate(pairwise(turns), 1):
        if one.role == two.role == "assistant":
            raise BadRow(f"turns must alternate: turns {number} and {number + 1} are both the assistant's")
        if two.role == "tool" and one.role != "tool" and not one.tool_calls:
            raise BadRow(
                f"turn {number + 1} (tool) is the result of a tool, but turn {number} calls none "
                "(tool_calls, or a turn of role function_call)"
            )
    last = max(number for number, role in enumerate(roles) if role == "assistant")
    if last < len(turns) - 1 and not cut_off:
        raise BadRow(
            f"the last turn must be the assistant's (bot), not of role {roles[-1]}: only answers are trained "
            '(with data.on_bad_row "skip", turns after the last answer are cut off)'
        )
    return tuple(turns[: last + 1])


def conversation_identity(conversation: Conversation) -> object:
    """Return what makes two conversations equal, as JSON: [role, content] for each plain turn."""
    turns = [_identity(turn) for turn in conversation.turns]
    return [turns, list(conversation.tools)] if conversation.tools else turns


def _identity(turn: Turn) -> list[object]:
    more: dict[str, object] = {
        "tool_calls": [[call.name, call.arguments] for call in turn.tool_calls],
        "reasoning": turn.reasoning,
        "name": turn.name,
    }
    given = {key: value for key, value in more.items() if value}
    if turn.weight != 1:
        given["weight"] = turn.weight
    return [turn.role, turn.content, given] if given else [turn.role, turn.content]


def _turn(turn: JsonObject, number: int, role_key: str, content_key: str) -> Turn:
    if role_key not in turn:
        raise BadRow(f"turn {number}: '{role_key}' is missing")
    given_role = turn[role_key]
    if not isinstance(given_role, str) or given_role not in ROLES:
        raise BadRow(f"turn {number}: unknown role {given_role!r} (known: {', '.join(ROLES)})")
    role = ROLES[given_role]
    where = f"turn {number} ({given_role}): "
    refuse_in_turn(turn, where)
    calls = _calls(turn, given_role, content_key, where)
    if calls and role != "assistant":
        raise BadRow(f"{where}only the assistant calls tools")
    if content_key not in turn and not calls:
        raise BadRow(f"turn {number}: '{content_key}' is missing")
    content = _content(
        turn.get(content_key, "") if given_role not in _CALLS else "", role, calls, f"{where}'{content_key}'"
    )
    return Turn(
        role,
        content,
        calls,
        _reasoning(turn, role, content, where),
        _weight(turn, role, where),
        _text(turn, "name", where) if role == "tool" else None,
        _text(turn, "tool_call_id", where) if role == "tool" else None,
    )


def _content(content: object, role: Role, calls: tuple[ToolCall, ...], what: str) -> str:
    if role == "tool" and not isinstance(content, str | list):
        return json.dumps(content, ensure_ascii=False)
    if role == "tool" and isinstance(content, list) and content:
        parts = [part for part in content if isinstance(part, dict) and ("type" in part or "text" in part)]
        if not parts:  # a result that is a list of other values
            return json.dumps(content, ensure_ascii=False)
    if content in ("", []) and (calls or role in ("system", "developer", "tool")):
        return ""
    return (
        string(content, what)
        if calls or role in ("system", "developer", "tool")
        else not_blank(content, what)
    )


def _calls(turn: JsonObject, role: str, content_key: str, where: str) -> tuple[ToolCall, ...]:
    if role in _CALLS:
        content = turn.get(content_key)
        if isinstance(content, str):
            try:
                content = json.loads(content)
            except (ValueError, RecursionError) as error:
                raise BadRow(f"{where}'{content_key}' must be a call as JSON: {error}") from None
        return read_calls(content if isinstance(content, list) else [content], where + f"'{content_key}'")
    calls: tuple[ToolCall, ...] = ()
    if turn.get("tool_calls"):
        calls = read_calls(turn["tool_calls"], f"{where}'tool_calls'")
    if turn.get("function_call"):
        if calls:
            raise BadRow(f"{where}has both 'tool_calls' and 'function_call': keep one of them")
        calls = (read_call(turn["function_call"], f"{where}'function_call'"),)
    return calls


def _reasoning(turn: JsonObject, role: Role, content: str, where: str) -> str | None:
    reasoning = reasoning_of(turn, content, where)
    if reasoning is not None and role != "assistant":
        raise BadRow(f"{where}only turns of the assistant have reasoning")
    return reasoning


def _weight(turn: JsonObject, role: Role, where: str) -> float:
    """Return the factor of an answer's tokens: ``weight``, 0 if ``train`` (or ``loss``) is false."""
    weight = turn.get("weight", 1)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight <= LARGEST_WEIGHT:
        raise BadRow(f"{where}'weight' must be a finite number of at least 0, not {json.dumps(weight)[:20]}")
    for key in _TRAINED:
        if not isinstance(turn.get(key, True), bool):
            raise BadRow(f"{where}'{key}' must be true or false, not {json.dumps(turn[key])[:40]}")
    if role != "assistant":
        asked = [key for key in _TRAINED if turn.get(key) is True]
        if asked or ("weight" in turn and weight > 0):
            raise BadRow(
                f"{where}only turns of the assistant are trained: remove '{(asked or ['weight'])[0]}'"
            )
        return 1.0
    return float(weight) if all(turn.get(key, True) for key in _TRAINED) else 0.0


def _text(turn: JsonObject, key: str, where: str) -> str | None:
    value = turn.get(key)
    if value is not None and not isinstance(value, str):
        raise BadRow(f"{where}'{key}' must be a string, not {kind_of(value)}")
    return value
