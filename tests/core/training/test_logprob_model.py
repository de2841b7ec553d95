"""Copies of weights that autocast makes in the forward pass, and where the head is compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from mftkit import ModelAdapter, TokenizationMode, build_component
from mftkit.interfaces.tuning import Tuning
from mftkit.tools.plan.fake_step import full_batch
from mftkit.tools.plan.live_bytes import LiveBytes
from mftkit.training import logprob_model
from mftkit.training.logprob_model import LogprobModel
from mftkit.training.logprobs import token_logprobs

T = TypeVar("T")


def llama(layers: int) -> LlamaForCausalLM:
    config = LlamaConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=layers, num_attention_heads=2, vocab_size=128
    )
    return LlamaForCausalLM(config)


@pytest.mark.parametrize("caches", [True, False])
def test_copies_of_sharded_weights_do_not_stay_until_the_forward_pass_ends(caches: bool) -> None:
    adapter: Any = build_component(ModelAdapter, "llama")
    tuning = build_component(Tuning, "full")
    model = tuning.apply(llama(3), adapter)
    live = LiveBytes(model.parameters())
    copies: list[int] = []

    def within(_model: object, work: Callable[[], T], /) -> T:
        result = work()
        copies.append(sum(event.bytes for event in live.events if event.is_cast))
        return result

    logprob_model = LogprobModel(model, adapter, tuning, torch.bfloat16, within, caches_casts=caches)
    mode: Any = build_component(TokenizationMode, "padding")
    with torch.no_grad(), live:
        logprob_model(full_batch(mode, 1, 16))
    in_layers = 2 * sum(p.numel() for n, p in model.named_parameters() if "layers" in n and p.ndim == 2)
    assert copies == [in_layers if caches else 0]


def test_a_compiled_head_is_used_in_training_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    used = []

    def record(*arguments: Any, compiled: bool, **options: Any) -> torch.Tensor:
        used.append(compiled)
        return token_logprobs(*arguments, **options)

    monkeypatch.setattr(logprob_model, "token_logprobs", record)
    adapter: Any = build_component(ModelAdapter, "llama")
    tuning = build_component(Tuning, "full")
    mode: Any = build_component(TokenizationMode, "padding")
    for compiles in (True, False):
        made = LogprobModel(llama(1), adapter, tuning, compiles_head=compiles)
        for training in (True, False):
            made.train(training)
            made(full_batch(mode, 1, 8))
    assert used == [True, False, False, False]
