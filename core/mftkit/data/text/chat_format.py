"""Chooses the chat format of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.data.text.encoder import added_start, fast_backend
from mftkit.data.text.markers import Markers
from mftkit.data.text.template import Template
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transformers import PreTrainedTokenizerBase

    from mftkit.data.text.chat_protocol import ChatFormat, Split
    from mftkit.data.text.control_tokens import SpecialTokens


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
