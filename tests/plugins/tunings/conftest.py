import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from mftkit.plugins import installed, kinds

TINY = {
    "vocab_size": 48, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "bos_token_id": None, "eos_token_id": 0,
}  # fmt: skip


@pytest.fixture
def model():
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **TINY), dtype=torch.bfloat16)


@pytest.fixture
def adapter():
    return installed.build(kinds.MODEL_ADAPTER, "llama", {})


@pytest.fixture
def tuning():
    def build(name="lora", **options):
        return installed.build(kinds.TUNING, name, {"rank": 4, **options})

    return build
