"""The part of a spec about chat: how a conversation becomes text."""

from typing import Literal

from pydantic import model_validator

from mftkit.spec.problems import refuse_one
from mftkit.spec.section import Section


class ChatMarkers(Section):
    """The text before each turn, if no chat template is used."""

    system: str
    """Text before the system turn."""
    user: str
    """Text before a user turn."""
    assistant: str
    """Text before an answer."""
    end: str | None = None
    """Text after an answer; null: the tokenizer's end-of-sequence token."""


class ChatSpec(Section):
    """How a conversation becomes text."""

    format: Literal["auto", "template", "markers"] = "auto"
    """"template": the tokenizer's own chat template; "markers": text before each turn; "auto": the template if the
    tokenizer has one, otherwise markers."""
    markers: ChatMarkers | None = None
    """The markers; null: those of the MFTCoder paper."""

    split: Literal["auto", "always", "never"] = "auto"
    """Whether the answers of a conversation become separate samples. "auto": where the chat template renders the text
    before an answer differently in later turns. "always": each answer with its prompt, as it is in use. "never": one
    sample, and answers that cannot be trained in it are context only."""

    @model_validator(mode="after")
    def _used(self) -> "ChatSpec":
        if self.markers is not None and self.format == "template":
            refuse_one(
                'are not used with format "template"; remove them, or set format to "markers"',
                self.markers.model_dump(),
                at=("markers",),
            )
        return self
