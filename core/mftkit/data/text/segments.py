"""A conversation as the pieces of text that are encoded, and which of them count.

What counts is known here, before there are tokens: nothing is ever told apart by a token's id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mftkit.data.rows.formats import Conversation, Role

Counting = Literal["none", "all", "first"]


class Piece(NamedTuple):
    """A stretch of text."""

    text: str
    content: bool
    """Said by a row, so that it stays plain text whatever it looks like; else the format's own."""


class Segment(NamedTuple):
    """Pieces that are encoded together, in one string wherever no content looks like a control token."""

    pieces: tuple[Piece, ...]
    counting: Counting
    """Which of its tokens count in the loss."""


class Slot(NamedTuple):
    """Where a turn's content goes; between two slots stands text of the format itself."""

    turn: int
    role: Role
    lead: str
    """The format's own text just before the content that belongs to the answer; "" elsewhere."""


class Rendering(NamedTuple):
    """A conversation ready to be encoded."""

    segments: tuple[Segment, ...]
    reshaped: bool
    """Whether the format changed a content (stripped it, say)."""


class ChatFormat(Protocol):
    """How conversations become text."""

    @property
    def jinja(self) -> str:
        """The chat template to save with the model: it renders what was trained."""

    def describe(self) -> dict[str, str]:
        """All that its renderings depend on, for the cache's fingerprint."""

    def control_texts(self) -> Iterable[str]:
        """The format's own text around turns: tokens in it have no business in a content."""

    def render(self, conversation: Conversation) -> Rendering:
        """The segments of a conversation; raises BadRow where the format refuses it."""


@dataclass(frozen=True)
class Outline:
    """The conversations of one shape: literals around slots, ``len(literals) == len(slots) + 1``."""

    literals: tuple[str, ...]
    slots: tuple[Slot, ...]

    def fill(self, contents: Sequence[str]) -> str:
        """The text with a content for each turn."""
        text = [self.literals[0]]
        for slot, literal in zip(self.slots, self.literals[1:], strict=True):
            text += (slot.lead, contents[slot.turn], literal)
        return "".join(text)


class Ending(Protocol):
    """Splits what follows an answer."""

    def __call__(self, literal: str, *, last: bool) -> tuple[str, str, bool]:
        """(end, rest, whole): ``end`` counts; where not ``whole``, so does the first token of ``rest``."""


def segments(outline: Outline, contents: Sequence[str], ending: Ending) -> tuple[Segment, ...]:
    """The segments of a conversation: what the model reads, then what it learns to say, turn by turn.

    ``contents`` are the turns' contents as the format shows them.
    """
    made: list[Segment] = []
    prompt: list[Piece] = [Piece(outline.literals[0], False)]
    counting: Counting = "none"
    for number, (slot, literal) in enumerate(zip(outline.slots, outline.literals[1:], strict=True), 1):
        content = Piece(contents[slot.turn], True)
        if slot.role != "assistant":
            prompt += (content, Piece(literal, False))
            continue
        made.append(Segment(tuple(prompt), counting))
        end, rest, whole = ending(literal, last=number == len(outline.slots))
        made.append(Segment((Piece(slot.lead, False), content, Piece(end, False)), "all"))
        prompt, counting = [Piece(rest, False)], "none" if whole else "first"
    made.append(Segment(tuple(prompt), counting))
    return tuple(made)
