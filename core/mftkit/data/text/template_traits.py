"""How a chat template takes what has no single form: tool calls, reasoning, roles.

A template is a program, so this is found by rendering small conversations with it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Literal

from mftkit.data.rows.faults import BadRow
from mftkit.data.rows.reasoning import REASONING_KEYS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mftkit.base.json_types import JsonObject
    from mftkit.interfaces.conversation import ToolCall, Turn

    Render = Callable[[Sequence[JsonObject], Sequence[JsonObject]], str]

_TOOL, _KEY, _VALUE, _RESULT = "mftprobetool", "mftprobekey", "mftprobevalue", "mftproberesult"
_TEXT = "mftprobetext"
PROBE_TOOL: JsonObject = {
    "type": "function",
    "function": {
        "name": _TOOL,
        "description": "A probe.",
        "parameters": {
            "type": "object",
            "properties": {_KEY: {"type": "string", "description": "A value."}},
            "required": [_KEY],
        },
    },
}
_USER: JsonObject = {"role": "user", "content": "mftprobequestion"}
_TOOL_ROLES = ("tool", "observation", "ipython", "function")
_ARGUMENTS: tuple[Literal["object", "text"], ...] = ("object", "text")
_ID_LENGTH = 9
"""Some templates take only ids of calls with this length."""


@dataclass(frozen=True)
class ToolTraits:
    """How a template takes tool calls and their results."""

    arguments: Literal["object", "text"]
    """Whether arguments are an object or its JSON text."""
    empty_content: str | None
    """What stands for the content of an answer that only calls tools."""
    ids: bool
    """Whether every call needs an id of nine characters."""
    role: str
    """Role of a tool's result."""


def tool_traits(render: Render, tools: Sequence[JsonObject]) -> ToolTraits | None:
    """Return how the template takes tool calls; None if it does not render them."""
    for arguments, empty, ids, role in product(_ARGUMENTS, (None, ""), (False, True), _TOOL_ROLES):
        traits = ToolTraits(arguments, empty, ids, role)
        probe = [_USER, *probe_call(traits)]
        try:
            text = render(probe, tools)
        except BadRow:
            continue
        key = json.dumps(_KEY)
        shown = key in text and json.dumps(_VALUE) in text and "\\" + key[:-1] not in text
        if shown and _TOOL in text and "None" not in text and _renders_role(render, probe, tools, text):
            return traits
    return None


def probe_call(traits: ToolTraits) -> list[JsonObject]:
    """Return an answer that calls a tool, and the tool's result."""
    arguments: object = {_KEY: _VALUE}
    call: JsonObject = {"type": "function", "function": {"name": _TOOL, "arguments": arguments}}
    if traits.arguments == "text":
        call["function"]["arguments"] = json.dumps(arguments)
    result: JsonObject = {"role": traits.role, "content": _RESULT, "name": _TOOL}
    if traits.ids:
        call["id"] = result["tool_call_id"] = "0" * _ID_LENGTH
    answer = {"role": "assistant", "content": traits.empty_content, "tool_calls": [call]}
    return [answer, result]


def _renders_role(
    render: Render, probe: Sequence[JsonObject], tools: Sequence[JsonObject], text: str
) -> bool:
    """Return True if the template knows the role of the tool's result: an unknown one is dropped, or only copied."""
    if _RESULT not in text:
        return False
    unknown = [*probe[:-1], {**probe[-1], "role": "mftproberole"}]
    try:
        copied = render(unknown, tools).replace("mftproberole", str(probe[-1]["role"]))
    except BadRow:
        return True
    # A template that writes any role between two marks renders an unknown one in the same way. It has a name for
    # tools' results then, which is an added token with one of the other roles, or it is "tool".
    return copied != text or probe[-1]["role"] == "tool"


def reasoning_key(render: Render) -> str | None:
    """Return the key in which the template looks for an answer's reasoning; None if it does not render any."""
    for key in REASONING_KEYS:
        try:
            text = render([_USER, {"role": "assistant", "content": _TEXT, key: _VALUE}], ())
        except BadRow:
            continue
        if _VALUE in text and _TEXT in text:
            return key
    return None


def developer_role(render: Render) -> str:
    """Return the role of a developer's turn: "developer" if the template knows it, otherwise "system"."""
    try:
        text = render([{"role": "developer", "content": _TEXT}, _USER], ())
        system = render([{"role": "system", "content": _TEXT}, _USER], ())
    except BadRow:
        return "system"
    try:
        unknown = render([{"role": "mftproberole", "content": _TEXT}, _USER], ())
    except BadRow:
        unknown = ""
    copied = "developer" in text and text in (
        system.replace("system", "developer"),
        unknown.replace("mftproberole", "developer"),
    )
    return "developer" if _TEXT in text and not copied else "system"


class MessageWriter:
    """Writes the messages of a conversation as a template takes them."""

    def __init__(self, traits: ToolTraits | None, reasoning: str | None, developer: str) -> None:
        self._traits = traits
        self._reasoning = reasoning
        self._developer = developer

    def messages(self, turns: Sequence[Turn]) -> list[JsonObject]:
        """Return the messages, one per turn."""
        ids = self._ids(turns)
        return [self._message(number, turn, ids) for number, turn in enumerate(turns)]

    def _message(self, number: int, turn: Turn, ids: dict[int, list[str]]) -> JsonObject:
        message: JsonObject = {"role": turn.role, "content": turn.content}
        if turn.role == "developer":
            message["role"] = self._developer
        elif turn.role == "tool":
            message["role"] = self._traits.role if self._traits else "tool"
            message |= {key: value for key, value in (("name", turn.name),) if value}
            identity = ids[number][0] if number in ids else turn.tool_call_id
            message |= {"tool_call_id": identity} if identity else {}
        if turn.reasoning and self._reasoning:
            message[self._reasoning] = turn.reasoning
        if turn.tool_calls and self._traits:
            message["content"] = turn.content or self._traits.empty_content
            given = ids.get(number, [call.id or "" for call in turn.tool_calls])
            calls = zip(turn.tool_calls, given, strict=True)
            message["tool_calls"] = [self._call(call, identity, self._traits) for call, identity in calls]
        return message

    def _call(self, call: ToolCall, identity: str, traits: ToolTraits) -> JsonObject:
        arguments: object = call.arguments
        if traits.arguments == "text":
            arguments = json.dumps(call.arguments, ensure_ascii=False)
        written: JsonObject = {"type": "function", "function": {"name": call.name, "arguments": arguments}}
        return {**written, "id": identity} if identity else written

    def _ids(self, turns: Sequence[Turn]) -> dict[int, list[str]]:
        """Return the ids of calls and results by the number of the turn, if the template needs ids; else nothing."""
        if self._traits is None or not self._traits.ids:
            return {}
        ids: dict[int, list[str]] = {}
        open_calls: list[tuple[str | None, str]] = []
        for number, turn in enumerate(turns):
            if turn.tool_calls:
                made = [_nine(call.id or f"{number}.{place}") for place, call in enumerate(turn.tool_calls)]
                ids[number] = made
                open_calls = [
                    (call.id, identity) for call, identity in zip(turn.tool_calls, made, strict=True)
                ]
            elif turn.role == "tool":
                named = [pair for pair in open_calls if turn.tool_call_id and pair[0] == turn.tool_call_id]
                chosen = (named or open_calls or [(None, _nine(f"{number}"))])[0]
                ids[number] = [chosen[1]]
                open_calls = [pair for pair in open_calls if pair is not chosen]
        return ids


def _nine(given: str) -> str:
    """Return an id of nine letters and digits: the given one if it is one, otherwise one that follows from it."""
    if len(given) == _ID_LENGTH and given.isascii() and given.isalnum():
        return given
    return hashlib.sha256(given.encode()).hexdigest()[:_ID_LENGTH]
