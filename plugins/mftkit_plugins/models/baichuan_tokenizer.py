"""The tokenizer of Baichuan 1 and 2: sentencepiece, with reserved tokens for turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit import checkpoint_file
from mftkit_plugins.models.sentencepiece_backend import Pieces, read_sentencepiece
from mftkit_plugins.models.tokenizer_files import kept_settings, token_text, tokenizer_config

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from mftkit import JsonObject

TURNS = {False: ("<reserved_102>", "<reserved_103>"), True: ("<reserved_106>", "<reserved_107>")}
"""Tokens before a user's turn and before an answer, by whether it is the second generation (ids 195 and 196)."""


def baichuan_tokenizer(path: str, second: bool) -> PreTrainedTokenizerBase | None:
    """Load the tokenizer of a checkpoint; None if it has no ``tokenizer.model``."""
    from transformers import TokenizersBackend

    file = checkpoint_file(path, "tokenizer.model")
    if file is None:
        return None
    settings = tokenizer_config(path)
    turns = TURNS[second]
    pieces = read_sentencepiece(file, turns=turns)
    vocabulary = pieces.tokenizer.get_vocab()
    template = _template(*turns) if all(token in vocabulary for token in turns) else None
    _add_text_ends(pieces, settings)
    return TokenizersBackend(  # type: ignore[no-untyped-call]
        tokenizer_object=pieces.tokenizer,
        unk_token=token_text(settings.get("unk_token")) or pieces.unknown,
        bos_token=token_text(settings.get("bos_token")) or pieces.begin,
        eos_token=token_text(settings.get("eos_token")) or pieces.end,
        pad_token=token_text(settings.get("pad_token")) or pieces.unknown,
        padding_side=settings.get("padding_side", "right"),
        **kept_settings(settings, template),
    )


def _add_text_ends(pieces: Pieces, settings: JsonObject) -> None:
    """Put tokens before and after each text if tokenizer_config.json asks for them; by default there are none."""
    from tokenizers.processors import TemplateProcessing

    begin = token_text(settings.get("bos_token")) or pieces.begin
    end = token_text(settings.get("eos_token")) or pieces.end
    before = [str(begin)] if settings.get("add_bos_token", False) else []
    after = [str(end)] if settings.get("add_eos_token", False) else []
    one = [[*before, f"${name}", *after] for name in ("A", "B")]
    if before or after:
        pieces.tokenizer.post_processor = TemplateProcessing(
            single=" ".join(one[0]),
            pair=" ".join([*one[0], *one[1]]),
            special_tokens=[(token, pieces.tokenizer.token_to_id(token)) for token in (*before, *after)],
        )


def _template(user: str, assistant: str) -> str:
    """Return the instruct models' format; an answer ends with the end-of-text token, as in their training."""
    return (
        "{% for message in messages %}"
        f"{{% if message['role'] == 'user' %}}{user}"
        f"{{% elif message['role'] == 'assistant' %}}{assistant}{{% endif %}}"
        "{{ message['content'] }}{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
        f"{{% if add_generation_prompt %}}{assistant}{{% endif %}}"
    )
