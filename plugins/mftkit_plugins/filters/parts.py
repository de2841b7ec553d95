"""The part of a row that a filter looks at."""

from __future__ import annotations

from typing import Any, Literal

from mftkit.data.rows.row_texts import said

Part = Literal["all", "question", "answer"]


def part_of(row: dict[str, Any], part: Part) -> str:
    """The row's contents of that part, joined."""
    found = said(row)
    texts = {"all": found.all, "question": found.asked, "answer": found.answered}[part]
    return "\n".join(texts)


def called(row: dict[str, Any], number: int) -> str:
    """What a row is called in a report: its id, else its number among the rows that came in."""
    return f"id {row['id']}" if isinstance(row.get("id"), str | int) else f"number {number}"
