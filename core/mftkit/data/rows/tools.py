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


def read_tools(row: JsonObject) -> tuple[tuple[JsonObject, ...], set[str]]:
    """Return the tools of a row, and the keys that were used. Raises BadRow.

    A list or its JSON text; each tool ``{"type": "function", "function": {...}}`` or the inner object alone.
    """
    given = [key for key in TOOLS if row.get(key) not in (None, [], "", "[]")]
    if len(given) > 1:
        raise BadRow("the row has both 'tools' and 'functions': keep one of them")
    empty = {key for key in TOOLS if key in row}
    if not given:
        return (), empty
    tools = _json(row[given[0]], f"'{given[0]}'")
    if not isinstance(tools, list):
        raise BadRow(f"'{given[0]}' must be a list of tools, not {kind_of(tools)}")
    return tuple(_tool(tool, number, given[0]) for number, tool in enumerate(tools, 1)), empty


def read_calls(calls: object, where: str) -> tuple[ToolCall, ...]:
    """Return the calls of an answer: a list (or its JSON text) of calls, or of names and arguments."""
    calls = _json(calls, where)
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
    if isinstance(arguments, str) and arguments.strip():
        arguments = _json(arguments, f"{where} ({content['name']}): 'arguments'")
    arguments = {} if arguments in (None, "") or arguments == [] else arguments
    if not isinstance(arguments, dict):
        raise BadRow(
            f"{where} ({content['name']}): 'arguments' must be an object or its JSON text, not {kind_of(arguments)}"
        )
    identity = call.get("id")
    return ToolCall(content["name"], arguments, identity if isinstance(identity, str) else None)


def _tool(tool: object, number: int, key: str) -> JsonObject:
    wrapped = isinstance(tool, dict) and isinstance(tool.get("function"), dict)
    inner = tool["function"] if wrapped else tool  # type: ignore[index]
    if not isinstance(inner, dict) or not isinstance(inner.get("name"), str):
        raise BadRow(f"'{key}': tool {number} must be an object with a \"name\", not {json.dumps(tool)[:60]}")
    return tool if inner is not tool else {"type": "function", "function": inner}  # type: ignore[return-value]


def _json(value: object, where: str) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise BadRow(f"{where} is a string that is not valid JSON: {error}") from None
