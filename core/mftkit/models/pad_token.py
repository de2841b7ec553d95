"""The pad token: never one that must be learned."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mftkit.models.vocabulary import embedding
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ADDED = "<|pad|>"
PAD_LIKE = (
    r"\W*pad\W*",
    r".*right_pad.*",
    r".*(reserved|unused|extra_id|extra_\d|dummy).*",
    r"(?!.*fim).*pad.*",
    r".*pad.*",
)
"""Special tokens that nothing was meant to learn, the likeliest first."""


def choose_pad(
    tokenizer: PreTrainedTokenizerBase,
    model: PreTrainedModel,
    learned: Collection[int] = (),
    *,
    may_grow: bool = True,
    known: Sequence[str] = (),
) -> str:
    """Give tokenizer and model a pad token that no sample must learn; what was done, as a sentence.

    Not a token that ends a text or a turn, nor one of ``learned`` (ids): whoever takes padding out of a loss
    by its id, and many tools do, would take those out too, and the model would never learn to stop. Kept is
    the tokenizer's own if it is none of these; else one of ``known`` (a family's own tokens for it) that the
    vocabulary holds; else a special token without a use; else ``<|pad|>`` is added.

    ``may_grow`` False: the embedding stays as it is, because a row added to it would not be saved with an
    adapter. Where only a new row would do, the token that ends a text is used after all, which our own losses
    do not mind (they tell padding by its place), and which is told.
    """
    busy = _busy(tokenizer, model) | set(learned)
    own = tokenizer.pad_token_id
    if own is not None and own not in busy:
        done = f"the pad token is the tokenizer's own, {tokenizer.pad_token} (id {own})"
    else:
        was = "there was none" if own is None else f"{tokenizer.pad_token} must be learned"
        spare = _spare(tokenizer, busy, known)
        if spare is not None:
            tokenizer.pad_token = spare
            done = f"the pad token is {spare} (id {tokenizer.pad_token_id}) of the vocabulary: {was}"
        elif not may_grow and len(tokenizer) >= embedding(model).num_embeddings:
            done = f"the pad token is {_end(tokenizer)}, which also ends a text: an adapter cannot hold a new token"
        else:
            done = f"the pad token {_add(tokenizer, model)}: {was}"
    _tell_model(model, int(tokenizer.pad_token_id))
    return done


def _busy(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> set[int]:
    """Ids of tokens that a sample may have to learn: those that end or begin a text or a turn."""
    ends = getattr(model.generation_config, "eos_token_id", None)
    ids = {tokenizer.eos_token_id, tokenizer.bos_token_id}
    ids.update(ends if isinstance(ends, list) else [ends])
    if tokenizer.pad_token_id not in (tokenizer.eos_token_id, tokenizer.bos_token_id):
        # Some families name their pad token among the ends of a generation, beside the true one.
        ids.discard(tokenizer.pad_token_id)
    template = tokenizer.chat_template if isinstance(tokenizer.chat_template, str) else ""
    ids.update(i for i, token in tokenizer.added_tokens_decoder.items() if token.content in template)
    return {i for i in ids if i is not None}


def _spare(tokenizer: PreTrainedTokenizerBase, busy: set[int], known: Sequence[str]) -> str | None:
    special = {token.content: i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    free = [content for content, i in special.items() if i not in busy]
    for content in known:
        if content in free:
            return content
    for pattern in PAD_LIKE:
        for content in free:
            if re.fullmatch(pattern, content, re.IGNORECASE):
                return content
    unknown = tokenizer.unk_token
    return unknown if unknown is not None and tokenizer.unk_token_id not in busy else None


def _end(tokenizer: PreTrainedTokenizerBase) -> str:
    """Make the token that ends a text the pad token."""
    token = tokenizer.eos_token or tokenizer.bos_token
    if token is None:
        raise MftError(
            "model.tokenizer: it has no special token at all to pad with, and an adapter cannot hold a new one: "
            "give one with a pad token from the vocabulary"
        )
    tokenizer.pad_token = token
    return f"{token} (id {tokenizer.pad_token_id})"


def _add(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> str:
    tokenizer.add_special_tokens({"pad_token": ADDED})
    number, rows = int(tokenizer.pad_token_id), embedding(model).num_embeddings
    if number < rows:
        return f"{ADDED} was added as id {number}, a row that the embedding had to spare"
    model.resize_token_embeddings(number + 1, mean_resizing=False)
    return f"{ADDED} was added as id {number}, and the embedding grew from {rows} to {number + 1} rows"


def _tell_model(model: PreTrainedModel, pad: int) -> None:
    """Configs name the token that was chosen, and the embedding none.

    An embedding that knows a padding row gives it no gradient; in checkpoints with ``pad_token_id`` at the
    end-of-text token, that token's row would not be trained. No loss reaches our padding in any case.
    """
    model.config.get_text_config().pad_token_id = pad
    if model.generation_config is not None:
        model.generation_config.pad_token_id = pad
    embedding(model).padding_idx = None
