"""The chat format of a run: what it does, and how it is chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from mftkit.interfaces.task_format import no_note
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from transformers import PreTrainedTokenizerBase

    from mftkit.data.text.control_tokens import ControlTokens, SpecialTokens
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


def chat_format(
    name: str,
    markers: Mapping[str, str | None] | None,
    tokenizer: PreTrainedTokenizerBase,
    *,
    split: Split = "auto",
    special_tokens: SpecialTokens = "auto",
) -> ChatFormat:
    """Return the chat format for the spec's ``chat.format`` and ``chat.markers``.

    Args:
        name: "auto", "template" or "markers". "auto" means the tokenizer's own template if it has one, otherwise
            markers.
        markers: the spec's ``chat.markers``; None: those of the paper.
        tokenizer: a tokenizer with a fast backend.
        split: the spec's ``chat.split``.
        special_tokens: the spec's ``data.special_tokens``.

    Raises:
        MftError: "template" is set and the tokenizer has none, or markers are given for a template.
    """
    from mftkit.data.text.encoder import added_start, fast_backend
    from mftkit.data.text.markers import Markers
    from mftkit.data.text.template import Template

    backend = fast_backend(tokenizer)
    has_template = bool(getattr(tokenizer, "chat_template", None))
    if name == "template" or (name == "auto" and has_template and markers is None):
        if not has_template:
            raise MftError('chat.format: the tokenizer has no chat template; set "auto" or "markers"')
        if markers is not None:
            raise MftError(
                'chat.markers is not used with chat.format "template"; set chat.format to "markers"'
            )
        return Template(tokenizer, split=split, special_tokens=special_tokens)
    start = "".join(str(backend.id_to_token(token)) for token in added_start(backend))
    return Markers.of(markers, tokenizer, start, special_tokens)
