"""Check that a tokenizer's ids fit the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def check_vocabulary(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> None:
    """Raise MftError unless every id of the tokenizer has a row in the embedding."""
    rows = embedding(model).num_embeddings
    largest = max(tokenizer.get_vocab().values(), default=-1)
    if largest >= rows:
        raise MftError(
            f"the tokenizer's ids reach {largest}, but the model's embedding has {rows} rows: "
            "this tokenizer does not belong to this model; use the model's own tokenizer, or a smaller one"
        )


def embedding(model: PreTrainedModel) -> nn.Embedding:
    """Return the input embedding."""
    return cast("nn.Embedding", model.get_input_embeddings())
