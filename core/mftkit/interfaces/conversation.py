"""A conversation as a row of data gives it: turns, the tools that may be called, and which answers are trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from mftkit.interfaces.attribute_docs import documented

if TYPE_CHECKING:
    from mftkit.base.json_types import JsonObject

Role = Literal["system", "developer", "user", "assistant", "tool"]
AnswerKind = Literal["answer", "tool call", "answer with reasoning", "tool call with reasoning"]


@documented
@dataclass(frozen=True)
class ToolCall:
    """A call of a tool, as part of an answer."""

    name: str
    arguments: JsonObject = field(default_factory=dict)
    id: str | None = None
    """What a tool's result refers to, if the row gives it."""


@documented
@dataclass(frozen=True)
class Turn:
    """One turn of a conversation."""

    role: Role
    content: str
    """May be empty beside tool calls, and in a system turn."""
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning: str | None = None
    """The reasoning before the answer, if the row has it in a separate key."""
    weight: float = 1.0
    """Factor of the answer's tokens in the loss; 0: context only. Turns of others are never trained."""
    name: str | None = None
    """Of a tool's result: the tool."""
    tool_call_id: str | None = None
    """Of a tool's result: the call."""

    @property
    def trained(self) -> bool:
        """Whether it is an answer whose tokens are in the loss."""
        return self.role == "assistant" and self.weight > 0

    @property
    def kind(self) -> AnswerKind:
        """What kind of answer it is: each may end with another token."""
        if self.tool_calls:
            return "tool call with reasoning" if self.reasoning else "tool call"
        return "answer with reasoning" if self.reasoning else "answer"


@documented
@dataclass(frozen=True)
class Conversation:
    """Turns in order: a system turn at most first, then the user's, answers and tools' results."""

    turns: tuple[Turn, ...]
    tools: tuple[JsonObject, ...] = ()
    """The tools that may be called: ``{"type": "function", "function": {"name", "description", "parameters"}}``."""

    @property
    def trained(self) -> tuple[int, ...]:
        """The numbers of the turns that are trained, from 0."""
        return tuple(number for number, turn in enumerate(self.turns) if turn.trained)
