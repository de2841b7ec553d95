"""A conversation as pieces of text to encode, and which of them are in the loss.

That is decided here, before there are tokens: it never depends on a token's id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mftkit.data.rows.formats import Conversation, Role

InLoss = Literal["none", "all", "first"]


class Piece(NamedTuple):
    """A stretch of text."""

    text: str
    content: bool
    """Whether it comes from a row, so that it stays plain text whatever it looks like; otherwise it is the format's."""


class Segment(NamedTuple):
    """Pieces that are encoded together: as one string, unless a content looks like a control token."""

    pieces: tuple[Piece, ...]
    in_loss: InLoss
    """Which of its tokens are in the loss."""


class Slot(NamedTuple):
    """The place of a turn's content; between two slots stands text of the format itself."""

    turn: int
    role: Role
    lead: str
    """Text of the format just before the content that belongs to the answer; "" for other turns."""


class Rendering(NamedTuple):
    """A conversation ready to be encoded."""

    segments: tuple[Segment, ...]
    altered_by_template: bool
    """Whether the format changed a content, for example stripped it."""


class ChatFormat(Protocol):
    """Turns conversations into text."""

    @property
    def jinja(self) -> str:
        """The chat template to save with the model; it renders what was trained."""

    def describe(self) -> dict[str, str]:
        """Return everything that renderings depend on, for the cache's fingerprint."""

    def control_texts(self) -> Iterable[str]:
        """Return the format's own text around turns; special tokens in it are plain text inside a content."""

    def render(self, conversation: Conversation) -> Rendering:
        """Return the segments of a conversation. Raises BadRow if the format refuses it."""


@dataclass(frozen=True)
class Outline:
    """What all conversations with the same roles share: ``len(slots) + 1`` literals around the slots."""

    literals: tuple[str, ...]
    slots: tuple[Slot, ...]

    def fill(self, contents: Sequence[str]) -> str:
        """Return the text with a content for each turn."""
        text = [self.literals[0]]
        for slot, literal in zip(self.slots, self.literals[1:], strict=True):
            text += (slot.lead, contents[slot.turn], literal)
        return "".join(text)


class Ending(Protocol):
    """Splits what follows an answer."""

    def __call__(self, literal: str, *, last: bool) -> tuple[str, str, bool]:
        """Return (end, rest, complete): ``end`` is in the loss, and if not ``complete`` the first token of ``rest``."""


def segments(outline: Outline, contents: Sequence[str], ending: Ending) -> tuple[Segment, ...]:
    """Return the segments of a conversation: a prompt, then the answer that is trained, turn by turn.

    ``contents`` are the turns' contents as the format renders them.
    """
    made: list[Segment] = []
    prompt: list[Piece] = [Piece(outline.literals[0], False)]
    in_loss: InLoss = "none"
    for number, (slot, literal) in enumerate(zip(outline.slots, outline.literals[1:], strict=True), 1):
        content = Piece(contents[slot.turn], True)
        if slot.role != "assistant":
            prompt += (content, Piece(literal, False))
            continue
        made.append(Segment(tuple(prompt), in_loss))
        end, rest, complete = ending(literal, last=number == len(outline.slots))
        made.append(Segment((Piece(slot.lead, False), content, Piece(end, False)), "all"))
        prompt, in_loss = [Piece(rest, False)], "none" if complete else "first"
    made.append(Segment(tuple(prompt), in_loss))
    return tuple(made)
