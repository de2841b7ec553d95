"""The progress of making a task's rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from mftkit.base.formatting import whole
from mftkit.reporting.usage import Usage


class HasUsage(Protocol):
    """A chat with a model; only its cost matters here."""

    @property
    def usage(self) -> Usage:
        """The cost so far."""


@dataclass
class GenerationProgress:
    """Changes while rows are made; the display reads it from time to time."""

    task: str
    generator: str
    goal: int | None
    """Number of rows to make, if known."""
    rows: int = 0
    """Number of rows written."""
    counts: Counter[str] = field(default_factory=Counter)
    """Counts of the generator and of filters on its rows: kept, and dropped for each reason."""
    chats: list[HasUsage] = field(default_factory=list)
    """The open chats with models."""
    doing: str = "generating"
    """The current activity, for the display."""

    @property
    def usage(self) -> Usage:
        """The cost of the chats, in this run and in earlier ones."""
        return sum((chat.usage for chat in self.chats), Usage())

    def counts_text(self) -> str:
        """Numbers of rows kept, and dropped for each reason; empty if nothing was counted."""
        return ", ".join(f"{what.replace('_', ' ')} {number}" for what, number in sorted(self.counts.items()))

    def cost_text(self) -> str:
        """Requests and tokens, and their cost if there are prices; empty if no model was used."""
        if not self.chats:
            return ""
        usage = self.usage
        parts = [f"{whole(usage.asked)} requests", f"{whole(usage.tokens)} tokens"]
        if usage.cached:
            parts.insert(1, f"{whole(usage.cached)} cached replies")
        if usage.cost:
            parts.append(f"cost {usage.cost:.4g}")
        return ", ".join(parts)
