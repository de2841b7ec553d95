"""How far the making of a task's rows has come."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from mftkit.base.formatting import whole
from mftkit.reporting.usage import Usage


class HasUsage(Protocol):
    """A chat, of which only the cost matters here."""

    @property
    def usage(self) -> Usage:
        """What it has cost."""


@dataclass
class GenerationProgress:
    """Changes while rows are made; whoever shows it reads it now and then."""

    task: str
    generator: str
    goal: int | None
    """Rows to be made, where that is known."""
    rows: int = 0
    """Rows written."""
    counts: Counter[str] = field(default_factory=Counter)
    """What the generator (and whatever filters its rows) reports: kept, and dropped for this or that."""
    chats: list[HasUsage] = field(default_factory=list)
    """The chats with a model that were opened."""
    doing: str = "generating"
    """What is done to the rows."""

    @property
    def usage(self) -> Usage:
        """What the chats have cost, in this run and in those before it."""
        return sum((chat.usage for chat in self.chats), Usage())

    def counts_text(self) -> str:
        """What was kept, and dropped for each reason; "" where nothing was counted."""
        return ", ".join(f"{what.replace('_', ' ')} {number}" for what, number in sorted(self.counts.items()))

    def cost_text(self) -> str:
        """Requests and tokens, and their cost where there are prices; "" where no model was asked."""
        if not self.chats:
            return ""
        usage = self.usage
        parts = [f"{whole(usage.asked)} requests", f"{whole(usage.tokens)} tokens"]
        if usage.cached:
            parts.insert(1, f"{whole(usage.cached)} replies from the disk")
        if usage.cost:
            parts.append(f"cost {usage.cost:.4g}")
        return ", ".join(parts)
