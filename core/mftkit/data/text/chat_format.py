"""Which chat format a run uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mftkit.data.text.encoder import added_start, fast_backend
from mftkit.data.text.markers import Markers
from mftkit.data.text.template import Template
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transformers import PreTrainedTokenizerBase

    from mftkit.data.text.segments import ChatFormat


def chat_format(
    name: str, markers: Mapping[str, Any] | None, tokenizer: PreTrainedTokenizerBase
) -> ChatFormat:
    """The chat format of the spec's ``chat.format`` and ``chat.markers``.

    "auto" is the tokenizer's own template if it has one, else markers. Raises MftError where "template" is
    asked for and there is none, or where markers are given for a template.
    """
    backend = fast_backend(tokenizer)
    has_template = bool(getattr(tokenizer, "chat_template", None))
    if name == "template" or (name == "auto" and has_template and markers is None):
        if not has_template:
            raise MftError('chat.format: the tokenizer has no chat template; set "auto" or "markers"')
        if markers is not None:
            raise MftError('chat.markers: not used with chat.format "template"; set chat.format "markers"')
        return Template(tokenizer)
    start = "".join(str(backend.id_to_token(token)) for token in added_start(backend))
    return Markers.of(markers, tokenizer, start)
