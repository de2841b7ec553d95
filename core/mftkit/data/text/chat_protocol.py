"""What a chat format does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from mftkit.interfaces.task_format import no_note

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mftkit.data.text.control_tokens import ControlTokens
    from mftkit.data.text.encoder import Encoder
    from mftkit.interfaces.conversation import AnswerKind, Conversation
    from mftkit.interfaces.task_format import FormattedSample, Note, Segment

Split = Literal["auto", "always", "never"]
"""Whether the answers of a conversation become separate samples (``chat.split``)."""


class ChatFormat(Protocol):
    """Turns conversations into text."""

    @property
    def jinja(self) -> str | dict[str, str]:
        """The chat template to save with the model, or several by name; it renders what was trained."""

    @property
    def controls(self) -> ControlTokens:
        """The control tokens that the format is made of."""

    @property
    def encoder(self) -> Encoder:
        """The encoder of its samples."""

    def describe(self) -> dict[str, object]:
        """Return everything that renderings depend on, for the cache's fingerprint."""

    def render(self, conversation: Conversation, note: Note = no_note) -> Sequence[FormattedSample]:
        """Return the samples of a conversation. Raises BadRow if the format rejects it."""

    def prompt(self, conversation: Conversation) -> tuple[Segment, ...]:
        """Return the prompt for the answer that comes after the last turn. Raises BadRow."""

    def stop_texts(self) -> Mapping[AnswerKind, str]:
        """Return what ends each kind of answer that the format can render; some are no single token."""
