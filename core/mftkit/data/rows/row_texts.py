"""What a row says, whichever format it has, for whoever looks at texts and not at turns."""

from __future__ import annotations

from typing import Any, NamedTuple

from mftkit.data.rows.formats import CONVERSATIONS, PAIRS, BadRow, Conversation, Text, parse_row


class RowTexts(NamedTuple):
    """A row's texts."""

    asked: tuple[str, ...]
    """Contents of the system's and the user's turns; none of a raw text."""
    answered: tuple[str, ...]
    """Contents of the assistant's turns, or the raw text."""

    @property
    def all(self) -> tuple[str, ...]:
        """Every content, the questions first."""
        return (*self.asked, *self.answered)


def content_of(row: dict[str, Any]) -> Conversation | Text:
    """The row as a conversation, or else as a text. Raises BadRow for what is neither."""
    try:
        return parse_row(row, "chat")
    except BadRow:
        if "text" not in row:
            raise
        return parse_row(row, "text")


def said(row: dict[str, Any]) -> RowTexts:
    """A row's texts. Raises BadRow for what is no row."""
    content = content_of(row)
    if isinstance(content, Text):
        return RowTexts((), (content.content,))
    return RowTexts(
        tuple(turn.content for turn in content.turns if turn.role != "assistant"),
        tuple(turn.content for turn in content.turns if turn.role == "assistant"),
    )


def with_answer(row: dict[str, Any], answer: str) -> dict[str, Any]:
    """A row that is ``row`` with another last answer (or raw text)."""
    for key, (_, content) in CONVERSATIONS.items():
        if key in row:
            *before, last = row[key]
            return {**row, key: [*before, {**last, content: answer}]}
    for ask, given in PAIRS:
        if ask in row and given in row:
            return {**row, given: answer}
    return {**row, "text": answer}
