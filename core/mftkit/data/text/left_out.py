"""Finds out what a chat template leaves out of a conversation: a mark in its place is then not rendered.

Looking for the text itself is not enough: a short one stands elsewhere, too. What was found holds for all conversations
of the same shape, so each shape is rendered once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.data.text.template_program import MARK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mftkit.base.json_types import JsonObject
    from mftkit.data.text.template_program import TemplateProgram


class LeftOut:
    """Checks of one template."""

    def __init__(self, program: TemplateProgram) -> None:
        self._program = program
        self._found: dict[tuple[object, ...], bool] = {}

    def tools(self, messages: Sequence[JsonObject], tools: Sequence[JsonObject]) -> bool:
        """Return True if one of the tools is not in the prompt after these messages."""
        key = ("tools", _shape(messages), len(tools))
        if key not in self._found:
            marked = [
                {**tool, "function": {**tool["function"], "name": _mark(number)}}
                for number, tool in enumerate(tools)
            ]
            text = self._program.rendered(messages, marked, prompt=True)
            self._found[key] = any(_mark(number) not in text for number in range(len(tools)))
        return self._found[key]

    def call(self, messages: Sequence[JsonObject], tools: Sequence[JsonObject]) -> int | None:
        """Return the number of a call in the last message that is not rendered; None if all are."""
        calls = messages[-1]["tool_calls"]
        for number, call in enumerate(calls):
            key = ("call", _shape(messages), number, bool(tools))
            if key not in self._found:
                marked = [*calls]
                marked[number] = {**call, "function": {**call["function"], "name": _mark(number)}}
                text = self._program.rendered([*messages[:-1], {**messages[-1], "tool_calls": marked}], tools)
                self._found[key] = _mark(number) not in text
            if self._found[key]:
                return number
        return None

    def content(self, messages: Sequence[JsonObject], number: int, tools: Sequence[JsonObject]) -> bool:
        """Return True if the content of a message is not rendered: in the prompt after them, or as the last answer."""
        key = ("content", _shape(messages), number, bool(tools))
        if key not in self._found:
            marked = [*messages]
            marked[number] = {**marked[number], "content": MARK}
            answers = number == len(messages) - 1
            self._found[key] = MARK not in self._program.rendered(marked, tools, prompt=not answers)
        return self._found[key]


def _mark(number: int) -> str:
    return f"{MARK}{number}x"


def _shape(messages: Sequence[JsonObject]) -> tuple[object, ...]:
    """Return what a template may depend on beside the texts."""
    return tuple(
        (
            message["role"],
            len(message.get("tool_calls") or ()),
            frozenset(key for key, value in message.items() if value),
        )
        for message in messages
    )
