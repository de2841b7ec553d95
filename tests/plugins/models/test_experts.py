"""Models with experts: their routers' losses against the formulas, and where LoRA goes."""

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

import mftkit
from mftkit.batches.collate import collate
from mftkit.interfaces.tokenization import MicroBatch, Sample
from mftkit.models.recomputation import recompute_activations
from mftkit.plugins import installed, kinds
from mftkit.testing.adapter_training import samples
from mftkit.testing.tiny import from_random
from mftkit.training.logprob_model import LogprobModel

CASES = [
    ("mixtral", "mixtral"),
    ("qwen", "qwen2_moe"),
    ("qwen", "qwen3_moe"),
    ("deepseek", "deepseek_v2"),
    ("deepseek", "deepseek_v3"),
]


def made(name: str, which: str, **options: Any) -> tuple[Any, PreTrainedModel]:
    adapter = installed.build(kinds.MODEL_ADAPTER, name, options)
    [config] = [dict(row.config) for row in adapter.families if row.config["model_type"] == which]
    return adapter, from_random(adapter, config)


def packed(model: PreTrainedModel) -> tuple[mftkit.Batch, tuple[Sample, Sample, Sample, Sample]]:
    one, two, three, four = samples(model)
    return collate(MicroBatch(((one, two), (three, four)), 32, 0), pad_to=20), (one, two, three, four)


@pytest.mark.parametrize(("name", "which"), CASES[:3])
def test_the_loss_is_the_one_of_transformers(name: str, which: str) -> None:
    """A row without padding, where it needs no mask."""
    adapter, model = made(name, which)
    ids = torch.arange(40).view(2, 20)
    plain = model(input_ids=ids, output_router_logits=True, use_cache=False).aux_loss
    rows = tuple((Sample(i, 0, row.numpy().astype("int32"), row.numpy() >= 0),) for i, row in enumerate(ids))
    ours = adapter.auxiliary_loss(adapter.outputs(model, collate(MicroBatch(rows, 20, 0))))
    assert float(ours.detach()) == pytest.approx(0.01 * float(plain.detach()), rel=1e-5)


@pytest.mark.parametrize(("which", "coefficient"), [("deepseek_v2", 0.5), ("deepseek_v3", 0.25)])
def test_deepseeks_loss_is_the_papers_for_each_sample(which: str, coefficient: float) -> None:
    """Sample by sample in plain loops: sum_e f_e P_e over the layers with experts."""
    adapter, model = made("deepseek", which, router_loss=coefficient)
    batch, members = packed(model)
    found = adapter.auxiliary_loss(adapter.outputs(model, batch))
    gate, wanted = model.model.layers[1].mlp.gate, []
    for member in members:
        given: list[Any] = []
        handle = gate.register_forward_hook(lambda _m, _i, output, given=given: given.append(output))
        model(input_ids=torch.tensor([member.tokens.tolist()]), use_cache=False)
        handle.remove()
        logits, _, chosen = given[0]
        shares = (
            logits.softmax(-1)
            if which == "deepseek_v2"
            else logits.sigmoid() / logits.sigmoid().sum(-1, keepdim=True)
        )
        tokens, experts = shares.shape
        total = 0.0
        for expert in range(experts):
            hits = sum(int(expert in row) for row in chosen.tolist())
            total += experts * hits / (chosen.shape[1] * tokens) * float(shares[:, expert].detach().mean())
        wanted.append(total)
    assert float(found.detach()) == pytest.approx(coefficient * sum(wanted) / 4, rel=1e-4)


@pytest.mark.parametrize(("name", "which"), CASES)
def test_a_coefficient_of_0_leaves_it_out_with_a_note(name: str, which: str) -> None:
    adapter, model = made(name, which, router_loss=0)
    batch, _ = packed(model)
    assert adapter.auxiliary_loss(adapter.outputs(model, batch)) is None
    assert adapter.notes(model)


def test_a_model_without_experts_has_none() -> None:
    adapter, model = made("qwen", "qwen2")
    assert adapter.auxiliary_loss(adapter.outputs(model, packed(model)[0])) is None
    assert adapter.lora_parameters(model) == adapter.notes(model) == []


@pytest.mark.parametrize("dropout", [0.0, 0.05])
@pytest.mark.parametrize(("name", "which"), CASES)
def test_lora_adapts_experts_where_it_can_and_routers_never(name: str, which: str, dropout: float) -> None:
    adapter, model = made(name, which)
    tuning = installed.build(kinds.TUNING, "lora", {"rank": 4, "dropout": dropout})
    tuned = tuning.apply(model, adapter)
    places = {name.partition(".lora_")[0] for name, p in tuned.named_parameters() if p.requires_grad}
    assert any("self_attn" in place for place in places)
    assert any(".experts" in place for place in places) == (dropout == 0)
    assert not [place for place in places if place.endswith(("gate", "router"))]
    shared = any("shared_expert" in place for place in places)
    assert shared == ((name == "deepseek" and dropout == 0) or which == "qwen2_moe")
    notes = " ".join(tuning.notes(tuned))
    assert ("does not adapt the experts" in notes) == (dropout > 0)


def test_the_loss_and_its_gradient_are_the_same_with_recomputed_activations() -> None:
    adapter, model = made("mixtral", "mixtral")
    batch, _ = packed(model)
    results = []
    for recomputed in (False, True):
        if recomputed:
            recompute_activations(model)
        model.train()
        model.zero_grad()
        scorer = LogprobModel(model, adapter, installed.build(kinds.TUNING, "full", {}))
        _, extra = scorer(batch)
        extra.backward()
        results.append((float(extra.detach()), model.model.layers[0].mlp.gate.weight.grad.clone()))
    assert results[0][0] == results[1][0]
    assert torch.allclose(results[0][1], results[1][1], rtol=1e-5, atol=1e-9)
    assert float(results[0][1].abs().max()) > 0


def test_the_fallback_balances_a_family_that_nobody_knows() -> None:
    adapter = installed.build(kinds.MODEL_ADAPTER, "huggingface", {})
    config = {
        "model_type": "olmoe", "vocab_size": 64, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1,
        "num_attention_heads": 2, "num_key_value_heads": 2, "num_experts": 4, "num_experts_per_tok": 2,
        "router_aux_loss_coef": 0.1, "pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0,
    }  # fmt: skip
    model = from_random(adapter, config)
    assert not isinstance(model, AutoModelForCausalLM)
    loss = adapter.auxiliary_loss(adapter.outputs(model, packed(model)[0]))
    assert loss is not None
    assert float(loss.detach()) > 0.1
