"""A model takes over the attention "varlen" only if it computes the same under it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, masking_utils

from mftkit.batches.collate import collate
from mftkit.batches.joining import join_rows
from mftkit.interfaces.model import VARLEN
from mftkit.interfaces.tokenization import Batch, MicroBatch, Sample
from mftkit.models import check_head, check_independence, check_isolation, model_checks
from mftkit.models.native import NativeAdapter, attention_of
from mftkit.models.recomputation import recompute_activations
from mftkit.models.varlen_attention import register, varlen_attention
from mftkit.models.varlen_trial import use_varlen
from mftkit_plugins.models import alibi

BASE = {
    "vocab_size": 128, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
SAME: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {"sliding_window": 6},
    "qwen3": {},
    "mixtral": {"num_local_experts": 4},
    "gpt_neox": {},
    "phi": {},
    "starcoder2": {"sliding_window": 6},
    "gemma3_text": {"head_dim": 16, "sliding_window": 6},
    "deepseek_v3": {
        "num_key_value_heads": 4, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1, "kv_lora_rank": 16, "q_lora_rank": None,
        "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8, "first_k_dense_replace": 1, "moe_intermediate_size": 32,
    },
}  # fmt: skip
OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "gemma2": ({"head_dim": 16}, "cannot compute softcap"),
    "bloom": ({"n_embed": 64, "n_layer": 2, "n_head": 4}, "computes its attention by itself"),
    "gpt_oss": ({"num_local_experts": 2, "num_experts_per_tok": 1, "head_dim": 16}, "cannot compute s_aux"),
    "bamba": (  # keeps a state across samples
        {"attn_layer_indices": [1], "mamba_n_heads": 8, "mamba_d_head": 16, "mamba_d_state": 16},
        "the hidden states of samples of 5 and 7 tokens differ from its own attention's",
    ),
}


def tiny(family: str, changes: dict[str, Any]) -> PreTrainedModel:
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **(BASE | changes))
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    return model


def native() -> NativeAdapter:
    return NativeAdapter(NativeAdapter.Options())


def rows() -> MicroBatch:
    draw = np.random.default_rng(0)
    lengths = ((9, 5), (20,), (3, 1, 12))
    made = tuple(
        tuple(Sample(0, 0, draw.integers(3, 128, n).astype(np.int32), np.ones(n, np.bool_)) for n in row)
        for row in lengths
    )
    return MicroBatch(made, 24, 0)


def results(model: PreTrainedModel, joined: bool) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The states that predict loss tokens, and the gradients of a direction of theirs."""
    batch = collate(rows())
    batch = join_rows(batch) if joined else batch
    model.zero_grad()
    states = native().hidden_states(model, batch).flatten(0, 1)[batch.predictor_index]
    (states @ torch.linspace(-1, 1, states.shape[1]).sin()).sum().backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return states.detach(), gradients


@pytest.mark.parametrize("family", SAME)
def test_joined_rows_give_the_states_and_gradients_of_padded_rows(family: str) -> None:
    model = tiny(family, SAME[family])
    model.train(False)
    expected, gradients = results(model, joined=False)
    modes = {module: module.training for module in model.modules()}
    assert use_varlen(native(), model, longest=24) == ""
    assert attention_of(model) == VARLEN
    assert {module: module.training for module in model.modules()} == modes
    for joined in (True, False):  # a batch that cannot be joined has its padding as sequences
        found, others = results(model, joined)
        assert float((found - expected).abs().max()) < 2e-5
        for name, gradient in gradients.items():
            assert float((others[name] - gradient).abs().max()) <= 1e-4 * max(
                1.0, float(gradient.abs().max())
            ), name
    check_head(native(), model)
    check_independence(native(), model, 24)
    check_isolation(native(), model, 24)


@pytest.mark.parametrize("family", OTHERS)
def test_a_model_that_computes_something_else_keeps_its_own(family: str) -> None:
    changes, reason = OTHERS[family]
    model = tiny(family, changes)
    own = attention_of(model)
    assert reason in use_varlen(native(), model, longest=24)
    assert attention_of(model) == own != VARLEN


def test_an_adapter_that_does_not_state_it_keeps_the_models_own() -> None:
    class Stranger(NativeAdapter):
        isolating_attentions = ("sdpa",)

    model = tiny("llama", {})
    assert use_varlen(Stranger(Stranger.Options()), model, 0) == (
        "Stranger does not state that it keeps packed samples apart"
    )
    assert attention_of(model) == "sdpa"


@pytest.mark.parametrize("padding", [0, 4])
def test_generation_with_a_cache_is_that_of_sdpa(padding: int) -> None:
    model = tiny("mistral", {"sliding_window": 6})
    model.train(False)
    ids = torch.randint(3, 128, (2, 11))
    mask = torch.ones_like(ids)
    mask[0, :padding] = 0
    options = {"attention_mask": mask, "max_new_tokens": 8, "do_sample": False, "pad_token_id": 0}
    expected = model.generate(ids, **options)  # type: ignore[operator]
    with torch.no_grad():
        long = model(input_ids=ids).logits
    assert use_varlen(native(), model, longest=24) == ""
    assert torch.equal(model.generate(ids, **options), expected)  # type: ignore[operator]
    with torch.no_grad():
        assert float((model(input_ids=ids).logits - long).abs().max()) < 2e-5


@pytest.mark.parametrize("joinable", [True, False])
@pytest.mark.parametrize("first", [0, 5])
def test_rows_of_any_positions_stay_apart(first: int, joinable: bool) -> None:
    """As a mode of another package may make them: not from 0, and as views."""
    model = tiny("llama", {})
    model.train(False)
    samples = (
        (Sample(i, 0, np.arange(n, n + 6).astype(np.int32), np.ones(6, np.bool_)),)
        for i, n in enumerate((3, 40))
    )
    plain = collate(MicroBatch(tuple(samples), 24, 0))
    batch = replace(
        plain,
        position_ids=(torch.arange(6) + first).expand(2, 6),
        token_mask=plain.token_mask if joinable else None,
    )
    with torch.no_grad():
        expected = native().hidden_states(model, batch).flatten(0, 1)[batch.predictor_index]
        assert use_varlen(native(), model, longest=24) == ""
        joined = join_rows(batch)
        found = native().hidden_states(model, joined).flatten(0, 1)[joined.predictor_index]
    assert float((found - expected).abs().max()) < 2e-5


def test_a_mask_that_the_model_makes_is_not_one_of_a_joined_row() -> None:
    """The biases of ALiBi are a mask of the whole row: joined rows would make it larger."""
    model = tiny("llama", {})
    alibi.attach(model)
    assert "cannot compute with the model's own mask" in use_varlen(native(), model, longest=24)
    assert attention_of(model) == "sdpa"


@pytest.mark.parametrize(
    ("longest", "problem"), [(8, ""), (9, "its tokens see only those of their chunk of 8")]
)
def test_attention_in_chunks_is_kept_even_where_a_trial_would_cost_too_much(
    monkeypatch: pytest.MonkeyPatch, longest: int, problem: str
) -> None:
    class Llama4(NativeAdapter):
        def outputs(self, model: PreTrainedModel, batch: Batch) -> Any:
            model.get_decoder = lambda: model.model  # type: ignore[method-assign]
            return super().outputs(model, batch)

    monkeypatch.setattr(model_checks, "MOST_WORK", (0, 0))
    model = tiny(
        "llama4_text",
        {
            "attention_chunk_size": 8,
            "num_local_experts": 2,
            "head_dim": 16,
            "intermediate_size_mlp": 64,
            "num_hidden_layers": 4,
        },
    )
    found = use_varlen(Llama4(Llama4.Options()), model, longest)
    assert found.startswith(problem) if problem else found == ""


@pytest.mark.parametrize("longest", [9, 12])
def test_a_window_that_is_ignored_shows_in_the_tokens_beyond_it(
    monkeypatch: pytest.MonkeyPatch, longest: int
) -> None:
    """Even one token, of a row of many that are the same."""
    with monkeypatch.context() as patch:

        def without_window(*given: Any, sliding_window: int | None = None, **options: Any) -> Any:
            return varlen_attention(*given, **options)

        patch.setattr("mftkit.models.varlen_attention.varlen_attention", without_window)
        model = tiny("mistral", {"sliding_window": 8})
        found = use_varlen(native(), model, longest)
    register()
    assert found == (
        f"the hidden states of samples of 7 and {longest} tokens differ from its own attention's"
    )
    assert use_varlen(native(), model, longest) == ""


def test_long_rows_are_tried_without_gradients() -> None:
    """A run may recompute activations that do not fit into memory, and a trial does not."""
    tried: list[tuple[int, bool]] = []

    class Watched(NativeAdapter):
        def outputs(self, model: PreTrainedModel, batch: Batch) -> Any:
            tried.append((batch.input_ids.numel(), torch.is_grad_enabled()))
            return super().outputs(model, batch)

    assert use_varlen(Watched(Watched.Options()), tiny("mistral", {"sliding_window": 16}), 24) == ""
    assert max(tokens for tokens, gradient in tried if gradient) == 12
    assert max(tokens for tokens, gradient in tried if not gradient) == 15 + 24


@pytest.mark.parametrize("family", ["llama", "mistral", "gemma3_text"])
def test_no_forward_pass_looks_for_sequences_whose_borders_are_given(
    monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    """The host would wait for a GPU there. Recomputed layers, whose pass is over by then, give the same gradients."""
    model = tiny(family, SAME[family])
    assert use_varlen(native(), model, 0) == ""
    batch = join_rows(collate(rows()))

    def gradients() -> dict[str, torch.Tensor]:
        model.zero_grad()
        native().hidden_states(model, batch).square().sum().backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    expected = gradients()
    recompute_activations(model)
    model.train()
    monkeypatch.setattr(masking_utils, "find_packed_sequence_indices", None)
    found = gradients()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)
    assert attention_of(model) == VARLEN
