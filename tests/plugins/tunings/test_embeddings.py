"""Adapters on the embedding and the head: loss and gradients are those of peft's own model, and so is the result."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from peft import PeftModel
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from mftkit import Batch, MftError, without_peft_noise
from mftkit.batches.collate import collate
from mftkit.interfaces.tokenization import MicroBatch, Sample
from mftkit.models.model_checks import check_isolation
from mftkit.training.logprob_model import LogprobModel
from mftkit_plugins.models.llama import Llama
from mftkit_plugins.tunings.lora import Lora
from mftkit_plugins.tunings.qlora import QLora

TINY = {
    "vocab_size": 48, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "bos_token_id": None, "eos_token_id": 0,
}  # fmt: skip
LENGTHS = (5, 9, 3, 7)
OPTIONS: dict[str, dict[str, Any]] = {
    "lora on the embedding": {"targets": ["q_proj", "embed_tokens"]},
    "lora on the head": {"targets": ["q_proj", "lm_head"], "dropout": 0},
    "lora on both": {
        "targets": ["embed_tokens", "lm_head", "up_proj"],
        "dropout": 0,
        "lora": {"use_rslora": True},
    },
    "a copy of the embedding": {"targets": ["q_proj"], "lora": {"modules_to_save": ["embed_tokens"]}},
    "copies of both": {"targets": ["v_proj"], "lora": {"modules_to_save": ["embed_tokens", "lm_head"]}},
    "rows of the embedding": {"targets": ["q_proj"], "lora": {"trainable_token_indices": [0, 6, 7]}},
    "rows of the head": {
        "targets": ["q_proj"],
        "lora": {"trainable_token_indices": {"embed_tokens": [4, 5], "lm_head": [1, 6, 7]}},
    },
}
TIED: dict[str, dict[str, Any]] = {
    "lora on the embedding": {"targets": ["q_proj", "embed_tokens"]},
    "tied lora": {"targets": ["embed_tokens"], "dropout": 0, "lora": {"ensure_weight_tying": True}},
    "a copy of the embedding": {"targets": ["q_proj"], "lora": {"modules_to_save": ["embed_tokens"]}},
    "a tied copy": {
        "targets": ["q_proj"],
        "lora": {"modules_to_save": ["embed_tokens"], "ensure_weight_tying": True},
    },
    "rows": {"targets": ["q_proj"], "lora": {"trainable_token_indices": [0, 6, 7]}},
}
CASES = [(False, name) for name in OPTIONS] + [(True, name) for name in TIED]


def base(tied: bool) -> PreTrainedModel:
    torch.manual_seed(0)
    config = AutoConfig.for_model("llama", **TINY, tie_word_embeddings=tied)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float64)
    for parameter in model.parameters():
        parameter.data.mul_(5)  # so that attention matters
    return model


def samples() -> list[Sample]:
    text = (np.arange(sum(LENGTHS)) * 5 + 1).astype(np.int32) % 48
    pieces = np.split(text, np.cumsum(LENGTHS)[:-1])
    masks = [np.arange(len(piece)) > 0 for piece in pieces]
    return [Sample(i, 0, p, m) for i, (p, m) in enumerate(zip(pieces, masks, strict=True))]


def packed() -> list[Batch]:
    first, second, third, fourth = samples()
    return [collate(MicroBatch(((first, second), (third, fourth)), 16, 0))]


def padded() -> list[Batch]:
    return [collate(MicroBatch(tuple((each,) for each in samples()), 16, 0))]


def one_by_one() -> list[Batch]:
    return [collate(MicroBatch(((each,),), 16, 0)) for each in samples()]


MODES = {"pack": packed, "padding": padded, "one by one": one_by_one}


def tuned(
    build: Callable[..., Lora | QLora], adapter: Llama, tied: bool, name: str
) -> tuple[Lora, PeftModel]:
    torch.manual_seed(1)
    tuning = build(**{"dropout": 0, **(TIED if tied else OPTIONS)[name]})
    model = cast("PeftModel", tuning.apply(base(tied), adapter))
    torch.manual_seed(2)
    for parameter in model.parameters():  # the start of LoRA is no change at all
        if parameter.requires_grad:
            parameter.data.add_(torch.randn_like(parameter), alpha=0.05)
    return tuning, model


def reference_loss(model: PeftModel) -> torch.Tensor:
    """The mean cross-entropy of peft's own forward pass, sample by sample."""
    losses = []
    for sample in samples():
        ids = torch.from_numpy(sample.tokens.astype(np.int64)).unsqueeze(0)
        logits = model(input_ids=ids, use_cache=False).logits[0, :-1]
        losses.append(functional.cross_entropy(logits, ids[0, 1:], reduction="sum"))
    return torch.stack(losses).sum() / (sum(LENGTHS) - len(LENGTHS))


def gradients(model: PeftModel) -> dict[str, torch.Tensor]:
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("tied", "name"), CASES)
def test_loss_and_gradients_are_those_of_peft(
    tuning: Callable[..., Lora | QLora], adapter: Llama, tied: bool, name: str, mode: str
) -> None:
    method, model = tuned(tuning, adapter, tied, name)
    expected = reference_loss(model)
    expected.backward()
    reference = gradients(model)
    assert {n for n, p in model.named_parameters() if p.requires_grad} == set(reference)
    logprob_model = LogprobModel(model, adapter, method)
    total = torch.zeros((), dtype=torch.float64)
    for batch in MODES[mode]():
        logprobs, _ = logprob_model(batch)
        total = total - logprobs.sum() / (sum(LENGTHS) - len(LENGTHS))
    total.backward()
    found = gradients(model)
    torch.testing.assert_close(total, expected, rtol=1e-12, atol=0)
    assert found.keys() == reference.keys()
    for key, gradient in reference.items():
        torch.testing.assert_close(found[key], gradient, rtol=1e-9, atol=1e-12, msg=key)


@pytest.mark.parametrize(("tied", "name"), CASES)
def test_peft_alone_loads_the_result_with_the_same_logits(
    tuning: Callable[..., Lora | QLora], adapter: Llama, tied: bool, name: str, tmp_path: Path
) -> None:
    method, model = tuned(tuning, adapter, tied, name)
    ids = torch.arange(12).unsqueeze(0)
    expected = model(input_ids=ids, use_cache=False).logits
    base(tied).save_pretrained(tmp_path / "base")
    method.export(model, tmp_path / "model", str(tmp_path / "base"))
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.float64)
    with without_peft_noise():
        loaded = PeftModel.from_pretrained(plain, str(tmp_path / "model"))
    torch.testing.assert_close(
        loaded(input_ids=ids, use_cache=False).logits, expected, rtol=1e-12, atol=1e-12
    )


def test_what_peft_warns_of_is_a_note(tuning: Callable[..., Lora | QLora], adapter: Llama) -> None:
    method, model = tuned(tuning, adapter, True, "a copy of the embedding")
    assert any("`ensure_weight_tying` is not set to True" in note for note in method.notes(model))
    assert tuned(tuning, adapter, True, "rows")[0].notes(model) == []


@pytest.mark.parametrize("name", OPTIONS)
def test_packed_samples_are_checked_with_an_adapted_embedding(
    tuning: Callable[..., Lora | QLora], adapter: Llama, name: str
) -> None:
    method, model = tuned(tuning, adapter, False, name)
    check_isolation(adapter, method.base_model(model))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"targets": ["lm_head"], "dropout": 0.1},
            "the head of LlamaForCausalLM gets an adapter, whose dropout",
        ),
        (
            {"targets": ["lm_head"], "dropout": 0, "lora": {"use_dora": True}},
            "does more than add a low-rank matrix",
        ),
        (
            {"targets": ["lm_head"], "dropout": 0, "lora": {"lora_bias": True}},
            "does more than add a low-rank matrix",
        ),
    ],
)
def test_a_head_that_cannot_be_computed_in_chunks_is_refused(
    tuning: Callable[..., Lora | QLora], adapter: Llama, options: dict[str, Any], message: str
) -> None:
    method = tuning(**options)
    model = method.apply(base(tied=False), adapter)
    with pytest.raises(MftError, match=message):
        adapter.head(method.base_model(model))


@pytest.mark.parametrize(
    ("lora", "message"),
    [
        (
            {"trainable_token_indices": [3, 48]},
            "trainable_token_indices: 48 is not a row of model.embed_tokens",
        ),
        ({"trainable_token_indices": {"lm_head": [-1]}}, "trainable_token_indices: -1 is not a row"),
        (
            {"modules_to_save": ["embed_token"]},
            'tuning.lora.modules_to_save: no module of LlamaForCausalLM is named "embed_token" \\(did you mean embed_tokens',
        ),
        ({"trainable_token_indices": {"head": [1]}}, 'no module of LlamaForCausalLM is named "head"'),
    ],
)
def test_rows_and_modules_that_do_not_exist_are_refused(
    tuning: Callable[..., Lora | QLora], adapter: Llama, lora: dict[str, Any], message: str
) -> None:
    with pytest.raises(MftError, match=message):
        tuning(targets=["q_proj"], lora=lora).apply(base(tied=False), adapter)
