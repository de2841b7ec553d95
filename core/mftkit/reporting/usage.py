"""What was asked of a chat model, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Usage:
    """What the replies of a chat have cost, whether this run paid for them or one before it."""

    asked: int = 0
    """Requests answered in this run."""
    cached: int = 0
    """Requests answered from the disk in this run."""
    prompt_tokens: int = 0
    """Of all of these requests."""
    completion_tokens: int = 0
    """Of all their replies."""
    cost: float = 0.0
    """In the currency of the prices; 0 without prices."""

    @property
    def tokens(self) -> int:
        """Prompts and replies together."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Usage) -> Usage:
        """Of two chats together."""
        return Usage(
            self.asked + other.asked,
            self.cached + other.cached,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cost + other.cost,
        )
