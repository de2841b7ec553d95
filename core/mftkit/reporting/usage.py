"""The requests to a chat model, and their cost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Usage:
    """The cost of a chat's replies, whether paid in this run or in an earlier one."""

    asked: int = 0
    """Requests that the model answered in this run."""
    cached: int = 0
    """Requests that the cache answered in this run."""
    prompt_tokens: int = 0
    """Tokens of all these requests."""
    completion_tokens: int = 0
    """Tokens of all their replies."""
    cost: float = 0.0
    """Cost in the currency of the prices; 0 without prices."""

    @property
    def tokens(self) -> int:
        """Tokens of prompts and replies together."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Usage) -> Usage:
        """The usage of two chats together."""
        return Usage(
            self.asked + other.asked,
            self.cached + other.cached,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cost + other.cost,
        )
