"""How far the making of a task's rows has come."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mftkit.chat.usage import Usage

if TYPE_CHECKING:
    from mftkit.chat import Chat


@dataclass
class Generation:
    """Changes while rows are made; whoever shows it reads it now and then."""

    task: str
    generator: str
    goal: int | None
    """Rows to be made, where that is known."""
    rows: int = 0
    """Rows written."""
    counts: Counter[str] = field(default_factory=Counter)
    """What the generator (and whatever filters its rows) reports: kept, and dropped for this or that."""
    chats: list[Chat] = field(default_factory=list)
    """The chats with a model that were opened."""
    doing: str = "generating"
    """What is done to the rows."""

    @property
    def usage(self) -> Usage:
        """What the chats have cost, in this run and in those before it."""
        return sum((chat.usage for chat in self.chats), Usage())
