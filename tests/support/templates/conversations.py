"""Conversations in the form of the OpenAI interface, each with what it needs of a template."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from templates.chat import Feature

Message = dict[str, Any]


@dataclass(frozen=True)
class Conversation:
    """Messages and tools."""

    name: str
    messages: tuple[Message, ...]
    tools: tuple[Message, ...] = ()
    needs: frozenset[Feature] = frozenset()
    """What a template must show."""

    def row(self) -> dict[str, Any]:
        """The row of a data file."""
        row: dict[str, Any] = {"messages": [dict(message) for message in self.messages]}
        return {**row, "tools": list(self.tools)} if self.tools else row

    def answers(self) -> list[int]:
        """The numbers of the messages that are trained."""
        return [number for number, message in enumerate(self.messages) if message["role"] == "assistant"]

    def __str__(self) -> str:
        return self.name


def turn(role: str, content: str | None, **more: object) -> Message:
    return {"role": role, "content": content, **more}


def call(number: int, name: str, arguments: str | dict[str, Any]) -> Message:
    return {
        "id": f"call{number:05}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def result(number: int, content: str, name: str = "weather") -> Message:
    return turn("tool", content, tool_call_id=f"call{number:05}", name=name)


WEATHER: Message = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "Its name."},
                "days": {"type": "integer"},
                "unit": {"type": "string", "enum": ["C", "F"]},
            },
            "required": ["city"],
        },
    },
}
ADD: Message = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds two numbers.",
        "parameters": {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}},
    },
}
TOOLS = (WEATHER, ADD)
_OSLO = '{"city": "Oslo", "days": 2}'
_ASK = turn("user", "What is the weather in Oslo?")
_TOOLS: frozenset[Feature] = frozenset({"tools"})
_CALLS: frozenset[Feature] = frozenset({"tools", "calls"})
_ALONE: frozenset[Feature] = frozenset({"calls", "calls without tools"})


def _calls(*calls: Message, content: str | None = None, **more: object) -> Message:
    return turn("assistant", content, tool_calls=list(calls), **more)


def look_alikes(texts: tuple[str, ...]) -> Conversation:
    """Return a conversation whose contents contain these texts, such as those of control tokens."""
    shown = " ".join(texts)
    return Conversation(
        "look-alikes",
        (
            turn("user", f"What is {shown} for?"),
            turn("assistant", f"It marks {shown} a turn."),
            turn("user", f"And{''.join(texts)}?"),
            turn("assistant", f"x{''.join(texts)}y"),
        ),
    )


def look_alikes_in_calls(texts: tuple[str, ...]) -> Conversation:
    """Return a conversation whose system turn, calls and results contain these texts."""
    shown = " ".join(texts)
    return Conversation(
        "look-alikes in calls",
        (
            turn("system", f"Never write {shown}."),
            _ASK,
            _calls(call(1, "weather", {"city": f"Oslo {shown}", "days": 2})),
            result(1, f"cold {shown}"),
            turn("assistant", f"It is {shown} cold."),
        ),
        needs=_ALONE | {"system"},
    )


def look_alikes_in_tools(texts: tuple[str, ...]) -> Conversation:
    """Return the conversation of ``look_alikes_in_calls`` with a tool whose description contains the texts too."""
    described = {**WEATHER["function"], "description": f"Weather {' '.join(texts)} of a city."}
    tools = ({**WEATHER, "function": described},)
    return Conversation(
        "look-alikes in tools", look_alikes_in_calls(texts).messages, tools, _CALLS | {"system"}
    )


CONVERSATIONS = (
    Conversation("plain", (turn("user", "Two plus two?"), turn("assistant", "It is four."))),
    Conversation(
        "system",
        (turn("system", "Be short."), turn("user", "Two plus two?"), turn("assistant", "Four.")),
        needs=frozenset({"system"}),
    ),
    Conversation(
        "empty system",
        (turn("system", ""), turn("user", "Two plus two?"), turn("assistant", "Four.")),
        needs=frozenset({"system"}),
    ),
    Conversation(
        "several turns",
        (
            turn("user", "Two plus two?"),
            turn("assistant", "Four."),
            turn("user", "And three?"),
            turn("assistant", "Seven."),
            turn("user", "Sure?"),
            turn("assistant", "Yes."),
        ),
    ),
    Conversation(
        "system and several turns",
        (
            turn("system", "Be short."),
            turn("user", "Two plus two?"),
            turn("assistant", "Four."),
            turn("user", "And three?"),
            turn("assistant", "Seven."),
        ),
        needs=frozenset({"system"}),
    ),
    Conversation(
        "users in a row",
        (
            turn("user", "Two plus two?"),
            turn("user", "Be quick."),
            turn("assistant", "Four."),
            turn("user", "And three?"),
            turn("user", "Well?"),
            turn("assistant", "Seven."),
        ),
        needs=frozenset({"users in a row"}),
    ),
    Conversation(
        "tools",
        (
            _ASK,
            _calls(call(1, "weather", _OSLO)),
            result(1, '{"temperature": -3}'),
            turn("assistant", "It is cold."),
        ),
        TOOLS,
        _CALLS,
    ),
    Conversation(
        "tools, system and two questions",
        (
            turn("system", "Be short."),
            _ASK,
            _calls(call(1, "weather", _OSLO)),
            result(1, "cold"),
            turn("assistant", "It is cold."),
            turn("user", "Two plus two?"),
            _calls(call(2, "add", '{"a": 2, "b": 2}')),
            result(2, "4", "add"),
            turn("assistant", "Four."),
        ),
        TOOLS,
        _CALLS | {"system"},
    ),
    Conversation(
        "tools that are not called",
        (_ASK, turn("assistant", "I do not know.")),
        TOOLS,
        _TOOLS,
    ),
    Conversation(
        "parallel calls",
        (
            _ASK,
            _calls(call(1, "weather", _OSLO), call(2, "add", '{"a": 2, "b": 2}')),
            result(1, "cold"),
            result(2, "4", "add"),
            turn("assistant", "It is cold, and four."),
        ),
        TOOLS,
        _CALLS | {"parallel calls"},
    ),
    Conversation("call as the last turn", (_ASK, _calls(call(1, "weather", _OSLO))), TOOLS, _CALLS),
    Conversation(
        "arguments as an object",
        (_ASK, _calls(call(1, "weather", {"city": "Ålesund", "unit": "C"}))),
        TOOLS,
        _CALLS,
    ),
    Conversation(
        "text beside a call",
        (
            _ASK,
            _calls(call(1, "weather", _OSLO), content="I look it up."),
            result(1, "cold"),
            turn("assistant", "It is cold."),
        ),
        TOOLS,
        _CALLS | {"text beside calls"},
    ),
    Conversation(
        "reasoning",
        (turn("user", "Two plus two?"), turn("assistant", "Four.", reasoning_content="Two and two.")),
    ),
    Conversation(
        "reasoning in each of two answers",
        (
            turn("user", "Two plus two?"),
            turn("assistant", "Four.", reasoning_content="Two and two."),
            turn("user", "And three?"),
            turn("assistant", "Seven.", reasoning_content="Four and three."),
        ),
    ),
    Conversation(
        "reasoning beside calls",
        (
            _ASK,
            _calls(call(1, "weather", _OSLO), reasoning_content="I must look."),
            result(1, "cold"),
            turn("assistant", "It is cold.", reasoning_content="They say cold."),
        ),
        TOOLS,
        _CALLS,
    ),
    Conversation(
        "calls without tools",
        (
            _ASK,
            _calls(call(1, "weather", _OSLO)),
            result(1, '{"temperature": -3}'),
            turn("assistant", "It is cold."),
            turn("user", "Two plus two?"),
            _calls(call(2, "add", '{"a": 2, "b": 2}')),
            result(2, "4", "add"),
            turn("assistant", "Four."),
        ),
        needs=_ALONE,
    ),
    Conversation(
        "reasoning beside calls without tools",
        (
            _ASK,
            _calls(call(1, "weather", _OSLO), reasoning_content="I must look."),
            result(1, "cold"),
            _calls(call(2, "weather", _OSLO)),
            result(2, "cold"),
            turn("assistant", "It is cold.", reasoning_content="They say cold."),
        ),
        needs=_ALONE,
    ),
    Conversation(
        "parallel calls without tools",
        (
            _ASK,
            _calls(call(1, "weather", _OSLO), call(2, "add", '{"a": 2, "b": 2}')),
            result(1, "cold"),
            result(2, "4", "add"),
            turn("assistant", "It is cold, and four."),
        ),
        needs=_ALONE | {"parallel calls"},
    ),
    Conversation(
        "reasoning in the first answer only",
        (
            turn("user", "Two plus two?"),
            turn("assistant", "Four.", reasoning_content="Two and two."),
            turn("user", "And three?"),
            turn("assistant", "Seven."),
        ),
    ),
    Conversation(
        "other scripts",
        (
            turn("user", "你好，世界 👋🏽 naïve Ålesund?"),
            turn("assistant", "Здравствуйте — 👨‍👩‍👧 é"),
            turn("user", "मैं"),
            turn("assistant", "ok ✅"),
        ),
    ),
    Conversation(
        "white space around contents",
        (turn("user", "\n  def add(a, b):\n"), turn("assistant", "    return a + b\n")),
    ),
    Conversation(
        "line breaks before an answer",
        (turn("user", " And then? \n\n"), turn("assistant", "\n\nDone.  ")),
    ),
    Conversation(
        "white space around contents of several turns",
        (
            turn("user", "\n  def add(a, b):\n"),
            turn("assistant", "return a + b\n"),
            turn("user", "  And then? \n\n"),
            turn("assistant", "Done.  "),
            turn("user", "\tYes\n"),
            turn("assistant", "Good."),
        ),
    ),
    Conversation(  # in use, the history is encoded again, and an earlier answer may merge with what stands before it
        "several turns after an answer that begins with white space",
        (
            turn("user", "Go on."),
            turn("assistant", "    return a + b\n"),
            turn("user", "And then?"),
            turn("assistant", "\n\nDone."),
            turn("user", "Yes?"),
            turn("assistant", "Good."),
        ),
    ),
)
