"""The first StarCoder has a position for each of so many tokens of a sample, however long a row is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

import mftkit
from mftkit.batches.joining import join_rows
from mftkit.interfaces.tokenization import MicroBatch, Sample
from mftkit_plugins.models.starcoder import StarCoder


@pytest.fixture
def model() -> PreTrainedModel:
    config = dict(StarCoder.families[0].config)
    made: PreTrainedModel = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))
    return made


def joined(*lengths: int) -> mftkit.Batch:
    rows = tuple(
        (Sample(i, 0, np.full(n, 3, np.int32), np.ones(n, np.bool_)),) for i, n in enumerate(lengths)
    )
    return join_rows(mftkit.collate(MicroBatch(rows, max(lengths), 0)))


def test_the_longest_sample_of_a_joined_row_is_known_without_its_positions(
    model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU the host would wait for them in each step."""
    adapter, batch = StarCoder(StarCoder.Options()), joined(100, 90)

    def read(*_: object) -> None:
        raise AssertionError("positions were read")

    monkeypatch.setattr(torch.Tensor, "max", read)
    assert adapter.hidden_states(model, batch).shape[:2] == (1, 190)


def test_a_sample_longer_than_the_positions_is_refused(model: PreTrainedModel) -> None:
    adapter = StarCoder(StarCoder.Options())
    with pytest.raises(mftkit.MftError, match="a sample has 129 tokens, but this model has 128 learned"):
        adapter.hidden_states(model, joined(129, 90))
