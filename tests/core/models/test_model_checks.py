import dataclasses
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

import mftkit
from mftkit import MftError
from mftkit.models import check_head, check_isolation
from mftkit.models.native import NativeAdapter

BASE = {
    "vocab_size": 128,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "gemma2": {"head_dim": 16, "sliding_window": 4096},  # caps its logits
    "granite": {"logits_scaling": 3.0},
    "cohere": {"logit_scale": 0.25},
    "mistral": {"sliding_window": 4096},
    "mixtral": {"num_local_experts": 4},
    "gpt_neox": {},
    "phi": {},  # a head with a bias
    "starcoder2": {"sliding_window": 4096},
    "gpt_bigcode": {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 64},
}


def tiny(
    family: str, dtype: torch.dtype = torch.float32, attention: str | None = None, **changes: Any
) -> PreTrainedModel:
    torch.manual_seed(0)
    own = FAMILIES.get(family, {})
    shape: dict[str, Any] = {"vocab_size": 128, "pad_token_id": 0} if "n_embd" in own else BASE
    config = AutoConfig.for_model(family, **(shape | own | changes))
    model: PreTrainedModel = AutoModelForCausalLM.from_config(
        config, dtype=dtype, attn_implementation=attention
    )
    return model


def native() -> NativeAdapter:
    return NativeAdapter(NativeAdapter.Options())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", FAMILIES)
def test_families_pass_both_checks_and_are_left_as_they_were(family: str, dtype: torch.dtype) -> None:
    model = tiny(family, dtype)
    window, state = getattr(model.config, "sliding_window", None), torch.get_rng_state()
    check_head(native(), model)
    check_isolation(native(), model)
    assert model.training
    assert getattr(model.config, "sliding_window", None) == window
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in model.parameters())


class WrongHead(NativeAdapter):
    changes: dict[str, Any] = {}

    def head(self, model: PreTrainedModel) -> mftkit.Head:
        return dataclasses.replace(super().head(model), **self.changes)


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("gemma2", {"soft_cap": None}),  # logits of a random model are small: a cap does nothing to them
        ("granite", {"scale": 1.0}),
        ("llama", {"normalized": True}),
        ("llama", {"scale": 1.01}),
    ],
)
def test_a_head_that_is_not_the_models_is_refused(family: str, changes: dict[str, Any]) -> None:
    adapter = WrongHead(WrongHead.Options())
    adapter.changes = changes
    with pytest.raises(
        MftError, match=r"the head of WrongHead do not give the logits of \w+ForCausalLM .*its own adapter"
    ):
        check_head(adapter, tiny(family))


def test_a_wrong_bias_is_refused() -> None:
    model = tiny("phi")
    torch.nn.init.normal_(model.lm_head.bias)
    check_head(native(), model)
    adapter = WrongHead(WrongHead.Options())
    adapter.changes = {"bias": None}
    with pytest.raises(MftError, match="do not give the logits"):
        check_head(adapter, model)


def test_a_config_whose_numbers_do_not_fit_together_is_reported() -> None:
    model = tiny("mixtral", num_experts_per_tok=9)
    with pytest.raises(MftError, match="MixtralForCausalLM cannot be run as configured"):
        check_head(native(), model)


def test_a_head_in_a_wrapper_is_refused() -> None:
    model = tiny("llama")
    model.lm_head = torch.nn.Sequential(model.lm_head)
    with pytest.raises(MftError, match="is not a plain linear layer but Sequential"):
        native().head(model)


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("bloom", {"hidden_size": 64, "n_layer": 2, "n_head": 4}),  # no position ids at all
        (
            "opt",
            {"hidden_size": 64, "word_embed_proj_dim": 64, "ffn_dim": 96},
        ),  # no mask from them
        ("mamba", {"hidden_size": 64, "num_hidden_layers": 2}),  # a state that runs through the row
    ],
)
def test_families_that_cannot_isolate_are_refused(family: str, changes: dict[str, int]) -> None:
    torch.manual_seed(0)
    changes = {"num_hidden_layers": 2, "num_attention_heads": 4} | changes
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, vocab_size=128, **changes))
    with pytest.raises(MftError, match=r"cannot be isolated in \w+ForCausalLM: .*one sample in each row"):
        check_isolation(native(), model)


class CacheLeftOn(NativeAdapter):
    def outputs(self, model: PreTrainedModel, batch: mftkit.Batch) -> Any:
        return model.model(input_ids=batch.input_ids, position_ids=batch.position_ids)


class PositionsForgotten(NativeAdapter):
    """Keeps samples apart by a mask, and lets positions run on through the row."""

    def outputs(self, model: PreTrainedModel, batch: mftkit.Batch) -> Any:
        places = torch.arange(batch.input_ids.shape[1])
        starts = places - (places if batch.position_ids is None else batch.position_ids)
        mask = (starts.unsqueeze(-1) == starts.unsqueeze(-2)) & (places.unsqueeze(-1) >= places)
        transformer: Any = model.transformer
        return transformer(
            input_ids=batch.input_ids,
            attention_mask=mask.reshape(-1, 1, len(places), len(places)),
            position_ids=places.unsqueeze(0),
            use_cache=False,
        )


def test_a_call_that_leaks_is_refused() -> None:
    with pytest.raises(MftError, match="samples of one row see each other"):
        check_isolation(CacheLeftOn(CacheLeftOn.Options()), tiny("llama"))


def test_positions_that_do_not_restart_are_refused() -> None:
    with pytest.raises(MftError, match="hidden states of a sample depend on its position in the row"):
        check_isolation(
            PositionsForgotten(PositionsForgotten.Options()), tiny("gpt_bigcode", attention="sdpa")
        )


class EagerOnly(NativeAdapter):
    isolating_attentions = ("eager",)


def test_an_attention_that_is_not_known_to_isolate_is_refused() -> None:
    adapter = EagerOnly(EagerOnly.Options())
    with pytest.raises(MftError, match=r"attention sdpa is not known .*; set model\.attention to eager, or"):
        check_isolation(adapter, tiny("llama"))
    check_isolation(adapter, tiny("llama", attention="eager"))


def test_the_head_is_tried_where_flash_attention_cannot_run() -> None:
    model = tiny("llama")
    model.config._attn_implementation = "flash_attention_2"  # as loaded for a GPU, and still on the CPU
    check_head(native(), model)
    assert model.config._attn_implementation == "flash_attention_2"
