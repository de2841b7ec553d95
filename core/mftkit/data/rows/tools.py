"""Reads tools and tool calls in the forms that data sets have them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mftkit.data.rows.faults import BadRow
from mftkit.data.rows.values import kind_of
from mftkit.interfaces.conversation import ToolCall

if TYPE_CHECKING:
    from mftkit.base.json_types import JsonObject

TOOLS = ("tools", "functions")
"""Keys of a row that list tools: the form of today, and the one before it."""


_EMPTY: tuple[object, ...] = (None, [], "", "[]", "null")


def read_tools(row: JsonObject, system: JsonObject | None = None) -> tuple[tuple[JsonObject, ...], set[str]]:
    """Return the tools of a row, and the keys of the row that were used. Raises BadRow.

    A list or its JSON text; each tool ``{"type": "function", "function": {...}}`` or the inner object alone. Some rows
    have them in their ``system`` turn.
    """
    places = [(row, key, f"'{key}'") for key in TOOLS]
    places += [(system, key, f"turn 1: '{key}'") for key in TOOLS if system is not None]
    given = [(place[key], what) for place, key, what in places if place.get(key) not in _EMPTY]
    if len(given) > 1:
        raise BadRow(f"the row has both {given[0][1]} and {given[1][1]}: keep one of them")
    used = {key for key in TOOLS if key in row}
    if not given:
        return (), used
    value, what = given[0]
    tools = _json(value, what)
    if not isinstance(tools, list):
        raise BadRow(f"{what} must be a list of tools, not {kind_of(tools)}")
    return tuple(_tool(tool, number, what) for number, tool in enumerate(tools, 1)), used


def read_calls(calls: object, where: str) -> tuple[ToolCall, ...]:
    """Return the calls of an answer: a list (or its JSON text) of calls, or of names and arguments."""
    calls = [] if calls in _EMPTY else _json(calls, where)
    if not isinstance(calls, list):
        raise BadRow(f"{where} must be a list of calls, not {kind_of(calls)}")
    return tuple(read_call(call, f"{where}, call {number}") for number, call in enumerate(calls, 1))


def read_call(call: object, where: str) -> ToolCall:
    """Return one call. Its arguments may be an object or its JSON text; other text is a fault."""
    call = _json(call, where)
    inner = call.get("function") if isinstance(call, dict) else None
    content = inner if isinstance(inner, dict) else call
    if (
        not isinstance(call, dict)
        or not isinstance(content, dict)
        or not isinstance(content.get("name"), str)
    ):
        raise BadRow(f'{where} must be an object with "name" and "arguments", not {json.dumps(call)[:60]}')
    arguments = content.get("arguments", content.get("parameters"))
    if isinstance(arguments, str):
        arguments = _json(arguments, f"{where} ({content['name']}): 'arguments'") if arguments.strip() else {}
    arguments = {} if arguments in (None, []) else arguments
    if not isinstance(arguments, dict):
        raise BadRow(
            f"{where} ({content['name']}): 'arguments' must be an object or its JSON text, not {kind_of(arguments)}"
        )
    identity = call.get("id")
    return ToolCall(content["name"], arguments, identity if isinstance(identity, str) else None)


def _tool(tool: object, number: int, what: str) -> JsonObject:
    wrapped = isinstance(tool, dict) and isinstance(tool.get("function"), dict)
    inner = tool["function"] if wrapped else tool  # type: ignore[index]
    if not isinstance(inner, dict) or not isinstance(inner.get("name"), str):
        raise BadRow(f'{what}: tool {number} must be an object with a "name", not {json.dumps(tool)[:60]}')
    if wrapped:
        return tool  # type: ignore[return-value]
    return {"type": "function", "function": {key: value for key, value in inner.items() if key != "type"}}


def _json(value: object, where: str) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise BadRow(f"{where} is a string that is not valid JSON: {error}") from None
