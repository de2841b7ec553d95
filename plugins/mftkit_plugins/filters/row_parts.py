"""The part of a row that a filter compares, and how a row is named in a report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from mftkit import row_texts

if TYPE_CHECKING:
    from mftkit import FilterContext, JsonObject

Part = Literal["all", "question", "answer"]


def part_of(row: JsonObject, part: Part) -> str:
    """Return the contents of one part of a row, joined."""
    found = row_texts(row)
    texts = {"all": found.all, "question": found.prompts, "answer": found.answers}[part]
    return "\n".join(texts)


def row_label(row: JsonObject, number: int, context: FilterContext) -> str:
    """Return a row's PATH:LINE if that is known, otherwise its id, otherwise its number among the rows that came in."""
    if place := context.locate(row):
        return place
    return f"id {row['id']}" if isinstance(row.get("id"), str | int) else f"number {number}"
