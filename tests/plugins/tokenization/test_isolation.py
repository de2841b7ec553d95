"""Packed samples do not see each other: proved on the tensors that training really passes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

import mftkit
from mftkit.batches.collate import collate
from mftkit.interfaces.tokenization import MicroBatch, Sample
from mftkit.models.model_checks import full_logits
from mftkit.models.recomputation import recompute_activations
from mftkit_plugins.models.huggingface import HuggingFace
from mftkit_plugins.models.llama import Llama
from mftkit_plugins.models.qwen import Qwen
from mftkit_plugins.tokenization.pack import Pack
from mftkit_plugins.tokenization.padding import DynamicPadding, Padding

TINY = {
    "vocab_size": 128,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,  # large, so that a leak is too
}
FAMILIES = {
    "llama": (Llama, {}),
    "qwen2": (Qwen, {}),
    "qwen3": (Qwen, {"head_dim": 16}),
    "mistral": (HuggingFace, {"sliding_window": 4}),
}
MAX_LENGTH = 32


def tiny(family: str, attention: str) -> tuple[Any, PreTrainedModel]:
    adapter, extra = FAMILIES[family]
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **TINY, **extra)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention, dtype=torch.float32)
    return adapter(adapter.Options()), model


def samples() -> list[Sample]:
    rng = np.random.default_rng(0)
    lengths = [7, 1, 12, 5, 7, 3, 9, 15, 2, 20, 4, 1, 11]
    return [
        Sample(i, i % 3, rng.integers(3, 128, n).astype(np.int32), np.ones(n, np.bool_))
        for i, n in enumerate(lengths)
    ]


def packed(mode: Any) -> MicroBatch:
    """The rows that the mode lays out, as one micro-batch; some shorter than the longest."""
    members = samples()
    lengths = np.array([len(each.tokens) for each in members])
    order = np.random.default_rng(5).permutation(len(members))
    layout = mode.layout(lengths, np.zeros_like(lengths), order, MAX_LENGTH)
    rows = [tuple(members[i] for i in row) for row in np.split(layout.samples, layout.offsets[1:-1])]
    return MicroBatch(tuple(rows), MAX_LENGTH, 0)


def logits(adapter: Any, model: PreTrainedModel, batch: mftkit.Batch) -> torch.Tensor:
    return full_logits(adapter.head(model), adapter.outputs(model, batch).last_hidden_state)


def largest_difference(
    adapter: Any, model: PreTrainedModel, micro_batch: MicroBatch, batch: mftkit.Batch
) -> float:
    """Over the last sample of each row: its logits in the row, and alone."""
    differences = []
    together = logits(adapter, model, batch)
    for r, row in enumerate(micro_batch.rows):
        end = sum(len(each.tokens) for each in row)
        last = row[-1]
        alone = logits(adapter, model, collate(MicroBatch(((last,),), MAX_LENGTH, 0)))[0]
        differences.append((together[r, end - len(last.tokens) : end] - alone).abs().max())
    return float(torch.stack(differences).detach().max())


def prepared(model: PreTrainedModel, how: str) -> PreTrainedModel:
    model.train(how != "evaluation")
    if how == "checkpointing":
        recompute_activations(model)
    return model


packings = pytest.mark.parametrize("attention", ["sdpa", "eager"])
families = pytest.mark.parametrize("family", FAMILIES)
hows = pytest.mark.parametrize("how", ["training", "evaluation", "checkpointing"])


@families
@packings
@hows
def test_the_last_sample_of_a_packed_row_is_as_if_alone(family: str, attention: str, how: str) -> None:
    adapter, model = tiny(family, attention)
    mode = Pack(Pack.Options())
    micro_batch = packed(mode)
    batch = mode.collate(micro_batch)
    assert max(len(row) for row in micro_batch.rows) > 2
    assert len({sum(len(each.tokens) for each in row) for row in micro_batch.rows}) > 1  # ragged tails
    assert largest_difference(adapter, prepared(model, how), micro_batch, batch) < 2e-5


@families
@packings
@hows
def test_no_gradient_reaches_another_samples_inputs(family: str, attention: str, how: str) -> None:
    adapter, model = tiny(family, attention)
    mode = Pack(Pack.Options())
    micro_batch = packed(mode)
    gradient, own = gradient_of_last_sample(
        adapter, prepared(model, how), micro_batch, mode.collate(micro_batch)
    )
    assert float(gradient[~own].abs().max()) == 0.0
    assert float(gradient[own].abs().max()) > 0.0


def gradient_of_last_sample(
    adapter: Any, model: PreTrainedModel, micro_batch: MicroBatch, batch: mftkit.Batch
) -> tuple[torch.Tensor, torch.Tensor]:
    """[B, S]: the gradient of the fullest row's last sample at each input, and which inputs are its own."""
    inputs = []

    def keep(_module: Any, _arguments: tuple[torch.Tensor], output: torch.Tensor) -> torch.Tensor:
        inputs.append(output.detach().requires_grad_())
        return inputs[-1]

    handle = model.get_input_embeddings().register_forward_hook(keep)
    try:
        scores = logits(adapter, model, batch).log_softmax(-1)
    finally:
        handle.remove()
    row = max(range(len(micro_batch.rows)), key=lambda r: len(micro_batch.rows[r]))
    members = micro_batch.rows[row]
    end = sum(len(each.tokens) for each in members)
    own = torch.zeros_like(batch.input_ids, dtype=torch.bool)
    own[row, end - len(members[-1].tokens) : end] = True
    scores[own][:, 5].sum().backward()
    gradient = inputs[-1].grad
    assert gradient is not None
    return gradient.abs().sum(-1), own


@families
def test_shared_samples_see_the_earlier_ones(family: str) -> None:
    """What proves that the tests above can fail."""
    adapter, model = tiny(family, "sdpa")
    mode = Pack(Pack.Options(attention="shared"))
    micro_batch = packed(mode)
    batch = mode.collate(micro_batch)
    assert batch.position_ids is None
    assert largest_difference(adapter, model, micro_batch, batch) > 1e-2
    gradient, own = gradient_of_last_sample(adapter, model, micro_batch, batch)
    assert float(gradient[~own].abs().max()) > 1e-4


@families
@packings
@pytest.mark.parametrize("mode", [Padding(Padding.Options()), DynamicPadding(DynamicPadding.Options())])
@pytest.mark.parametrize("how", ["training", "evaluation"])
def test_padding_changes_nothing(
    family: str, attention: str, mode: DynamicPadding | Padding, how: str
) -> None:
    adapter, model = tiny(family, attention)
    micro_batch = packed(mode)
    assert {len(row) for row in micro_batch.rows} == {1}
    assert largest_difference(adapter, prepared(model, how), micro_batch, mode.collate(micro_batch)) < 2e-5


class OneRow(Llama):
    """As under flash attention, which tells samples apart in one row only."""

    def needs_one_row(self, model: PreTrainedModel) -> bool:
        return True


def test_rows_made_one_give_the_same() -> None:
    _, model = tiny("llama", "sdpa")
    mode = Pack(Pack.Options())
    batch = mode.collate(packed(mode))
    shapes = []
    handle = model.get_input_embeddings().register_forward_hook(
        lambda _m, inputs, _o: shapes.append(inputs[0].shape)
    )
    several, one = (adapter(adapter.Options()).hidden_states(model, batch) for adapter in (Llama, OneRow))
    handle.remove()
    assert shapes == [batch.input_ids.shape, (1, batch.input_ids.numel())]
    assert float((several - one).detach().abs().max()) < 2e-5
