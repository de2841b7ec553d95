"""The rows of an embedding, also where an engine has put its weight away."""

from collections.abc import Callable

import torch
from transformers import PreTrainedModel

from mftkit.models.model_checks import row_of_samples
from mftkit.models.vocabulary import embedding, embedding_rows


def test_a_weight_that_an_engine_has_put_away_still_has_its_rows(
    make_model: Callable[..., PreTrainedModel],
) -> None:
    model = make_model()
    rows, ids = embedding_rows(model), row_of_samples(model, (5,)).input_ids
    assert rows == len(embedding(model).weight) > 1
    embedding(model).weight.data = torch.empty(0)  # as DeepSpeed's stage 3 leaves it between forward passes
    assert embedding_rows(model) == rows
    assert torch.equal(row_of_samples(model, (5,)).input_ids, ids)
    assert len(ids.unique()) > 1
