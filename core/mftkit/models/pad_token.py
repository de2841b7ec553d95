"""Choose the pad token: never a token that must be learned."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mftkit.models.vocabulary import embedding, embedding_rows
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
"""Special tokens that no model is meant to learn, in order of preference."""


def choose_pad(
    tokenizer: PreTrainedTokenizerBase,
    model: PreTrainedModel,
    learned: Collection[int] = (),
    *,
    may_grow: bool = True,
    known: Sequence[str] = (),
) -> str:
    """Give tokenizer and model a pad token that no sample must learn; return a sentence that says which.

    It is not a token that ends a text or a turn, nor one of ``learned`` (ids): tools that mask padding in a loss by
    its id, as many do, would mask those too, and the model would never learn to stop. In order of preference: the
    tokenizer's own pad token, if it is none of these; a token of ``known`` (the family's own for padding) that is in
    the vocabulary; a special token without a use; a new token, ``<|pad|>``.

    ``may_grow`` False keeps the size of the embedding, because an adapter could not save a new row. If nothing but a
    new row would do, the token that ends a text is used after all, and the sentence says so. Our own losses are not
    affected: they know padding by its place.
    """
    rows = embedding_rows(model)
    # A token without a row cannot be read, not even as padding: batches hold it.
    busy = _busy(tokenizer, model) | set(learned) | {i for i in tokenizer.get_vocab().values() if i >= rows}
    own = tokenizer.pad_token_id
    if own is not None and own not in busy:
        sentence = f"the pad token is the tokenizer's own, {tokenizer.pad_token} (id {own})"
    else:
        fault = "has no row in the embedding" if own is not None and own >= rows else "must be learned"
        cause = "the tokenizer has none" if own is None else f"{tokenizer.pad_token} {fault}"
        spare = _spare(tokenizer, busy, known)
        if spare is not None:
            tokenizer.pad_token = spare
            sentence = (
                f"the pad token is {spare} (id {tokenizer.pad_token_id}) from the vocabulary, because {cause}"
            )
        elif not may_grow and len(tokenizer) >= rows:
            end = _pad_with_end(tokenizer, rows)
            sentence = f"the pad token is {end}, which also ends a text: an adapter cannot hold a new token"
        else:
            sentence = f"the pad token {_add(tokenizer, model)}, because {cause}"
    _configure(model, int(tokenizer.pad_token_id))
    return sentence


def restore_pad(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> None:
    """Give a newly loaded model the pad token that was chosen for it before, and a row for it if it has none.

    ``tokenizer`` is the one that was saved after the choice.
    """
    if tokenizer.pad_token_id is None:
        choose_pad(tokenizer, model)
        return
    pad = int(tokenizer.pad_token_id)
    if pad >= embedding_rows(model):
        model.resize_token_embeddings(pad + 1, mean_resizing=False)
    _configure(model, pad)


def _busy(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> set[int]:
    """Return the ids of tokens that a sample may have to learn: those that end or begin a text or a turn."""
    ends = getattr(model.generation_config, "eos_token_id", None)
    ids = {tokenizer.eos_token_id, tokenizer.bos_token_id}
    ids.update(ends if isinstance(ends, list) else [ends])
    if tokenizer.pad_token_id not in (tokenizer.eos_token_id, tokenizer.bos_token_id):
        # Some families list their pad token among the tokens that end generation, beside the true one.
        ids.discard(tokenizer.pad_token_id)
    templates = tokenizer.chat_template or ""
    template = templates if isinstance(templates, str) else "\n".join(templates.values())
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


def _pad_with_end(tokenizer: PreTrainedTokenizerBase, rows: int) -> str:
    """Make the token that ends a text the pad token; return it with its id."""
    token = tokenizer.eos_token or tokenizer.bos_token
    if token is None or tokenizer.get_vocab()[str(token)] >= rows:
        raise MftError(
            "model.tokenizer: it has no special token to pad with, and an adapter cannot hold a new one: "
            "use a tokenizer whose vocabulary has a pad token"
        )
    tokenizer.pad_token = token
    return f"{token} (id {tokenizer.pad_token_id})"


def _add(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> str:
    tokenizer.add_special_tokens({"pad_token": ADDED})
    number, rows = int(tokenizer.pad_token_id), embedding_rows(model)
    if number < rows:
        return f"{ADDED} was added as id {number}, an unused row of the embedding"
    model.resize_token_embeddings(number + 1, mean_resizing=False)
    return f"{ADDED} was added as id {number}, and the embedding grew from {rows} to {number + 1} rows"


def _configure(model: PreTrainedModel, pad: int) -> None:
    """Name the pad token in the configs, and no pad token in the embedding.

    An embedding that knows a padding row gives it no gradient. In checkpoints with ``pad_token_id`` set to the
    end-of-text token, that token's row would not be trained. No loss reaches our padding in any case.
    """
    model.config.get_text_config().pad_token_id = pad
    if model.generation_config is not None:
        model.generation_config.pad_token_id = pad
    embedding(model).padding_idx = None
