from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from mftkit.plugins import installed, kinds
from mftkit_plugins.models.llama import Llama
from mftkit_plugins.tunings.lora import Lora
from mftkit_plugins.tunings.qlora import QLora

TINY = {
    "vocab_size": 48, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "bos_token_id": None, "eos_token_id": 0,
}  # fmt: skip


@pytest.fixture
def model() -> PreTrainedModel:
    torch.manual_seed(0)
    found: PreTrainedModel = AutoModelForCausalLM.from_config(
        AutoConfig.for_model("llama", **TINY), dtype=torch.bfloat16
    )
    return found


@pytest.fixture
def adapter() -> Llama:
    found = installed.build(kinds.MODEL_ADAPTER, "llama", {})
    assert isinstance(found, Llama)
    return found


@pytest.fixture
def tuning() -> Callable[..., Lora | QLora]:
    def build(name: str = "lora", **options: Any) -> Lora | QLora:
        found = installed.build(kinds.TUNING, name, {"rank": 4, **options})
        assert isinstance(found, Lora | QLora)
        return found

    return build
