"""What ends a generated text: the tokens and texts after which trained answers stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from mftkit.data.text.chat_protocol import ChatFormat
    from mftkit.data.text.encoder import Encoder
    from mftkit.interfaces.model import ModelAdapter


class Stops(NamedTuple):
    """What ends a generated text, and is no part of it."""

    ids: frozenset[int]
    texts: tuple[str, ...] = ()
    """Ends that are not a single token."""

    def also(self, texts: Iterable[str]) -> Stops:
        """These and more texts."""
        return Stops(self.ids, tuple(dict.fromkeys((*self.texts, *(text for text in texts if text)))))


def text_stops(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Stops:
    """What ends a text: the tokenizer's token, and those of the model's own generation settings."""
    own = getattr(model.generation_config, "eos_token_id", None)
    ids = [tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])]
    return Stops(frozenset(int(i) for i in ids if i is not None))


def named_stops(base: Stops, encoder: Encoder, texts: Iterable[str]) -> Stops:
    """``base``, and texts each of which is a token of the tokenizer or a text."""
    tokens = {text: encoder.token_of(text) for text in texts if text}
    ids = frozenset(token for token in tokens.values() if token is not None)
    return Stops(base.ids | ids, base.texts).also(text for text, token in tokens.items() if token is None)


def answer_stops(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    chat: ChatFormat,
    adapter: ModelAdapter | None = None,
) -> Stops:
    """What ends an answer in a chat: whatever follows answers in the chat format, and whatever ends a text."""
    base = text_stops(model, tokenizer)
    ids, texts = set(base.ids), []
    last = str(tokenizer.eos_token or "")
    for end in _trained_ends(chat, tokenizer, adapter):
        end = end if end == last else end.removesuffix(last)
        encoded = chat.encoder.backend.encode(end, add_special_tokens=False).ids
        if len(encoded) == 1:
            ids.add(encoded[0])
        elif end.strip():
            texts.append(end.rstrip())
    return Stops(frozenset(ids), tuple(texts))


def _trained_ends(
    chat: ChatFormat, tokenizer: PreTrainedTokenizerBase, adapter: ModelAdapter | None
) -> set[str]:
    ends = set(chat.stop_texts().values())
    known = adapter.instruct_format(tokenizer) if adapter else None
    if known is not None and known.template == tokenizer.chat_template:
        ends.add(known.end)
    return {end for end in ends if end}
