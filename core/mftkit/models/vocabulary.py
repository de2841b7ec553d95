"""Tokens of a tokenizer for which a model's embedding has no row."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, cast

from mftkit_registry.errors import MftError, MftWarning

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SHOWN = 4
"""Tokens that a message names."""


def embedding(model: PreTrainedModel) -> nn.Embedding:
    """Return the input embedding, in the wrapper of a tuning if it has one."""
    return cast("nn.Embedding", model.get_input_embeddings())


def embedding_rows(model: PreTrainedModel) -> int:
    """Return the number of rows of the input embedding: ids below it can be read."""
    layer = embedding(model)
    # Between forward passes, an engine may leave an empty tensor in the place of a weight that it divides.
    return int(layer.weight.shape[0]) or layer.num_embeddings


def surplus_tokens(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> dict[int, str]:
    """Return the tokens, by id, for which the embedding has no row."""
    rows = embedding_rows(model)
    return {id_: token for token, id_ in sorted(tokenizer.get_vocab().items(), key=_id) if id_ >= rows}


def describe_surplus(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> str:
    """Return a sentence about the tokens for which the embedding has no row; "" if there are none."""
    surplus = surplus_tokens(tokenizer, model)
    if not surplus:
        return ""
    shown = ", ".join(f"{token} (id {id_})" for id_, token in list(surplus.items())[:SHOWN])
    more = f" and {len(surplus) - SHOWN:,} more" if len(surplus) > SHOWN else ""
    return (
        f"the embedding has {embedding_rows(model):,} rows, and so none for {len(surplus):,} "
        f"{'token' if len(surplus) == 1 else 'tokens'} of the tokenizer: {shown}{more}; a text that contains one of "
        "them cannot be read"
    )


def guard_vocabulary(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> None:
    """Warn of tokens without a row, and make the model raise MftError for a text that contains one."""
    message = describe_surplus(tokenizer, model)
    if not message:
        return
    warnings.warn(message, MftWarning, stacklevel=3)
    surplus, rows = surplus_tokens(tokenizer, model), embedding_rows(model)

    def refuse(_module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        highest = int(arguments[0].max()) if arguments and arguments[0].numel() else -1
        if highest >= rows:
            token = surplus.get(highest, "")
            raise MftError(
                f"the text contains {token or 'a token'} (id {highest}), but the model's embedding has {rows:,} rows: "
                "remove the token from the text"
            )

    embedding(model).register_forward_pre_hook(refuse)


def _id(entry: tuple[str, int]) -> int:
    return entry[1]
