"""Tables of positions are found by trying, in any family, on an outline without values."""

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from mftkit.models.position_table import may_exceed, table_size

SMALL = {"vocab_size": 64, "pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0}
GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4}
PLAIN = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
OPT = {
    "hidden_size": 32,
    "word_embed_proj_dim": 32,
    "ffn_dim": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
TABLES: dict[str, dict[str, Any]] = {
    "gpt2": {**GPT, "n_positions": 16},
    "gpt_bigcode": {**GPT, "n_positions": 16},
    "codegen": {**GPT, "n_positions": 16, "n_ctx": 16, "rotary_dim": 4},
    "gptj": {**GPT, "n_positions": 16, "rotary_dim": 4},
    "gpt_neo": {"hidden_size": 32, "num_layers": 2, "num_heads": 4, "max_position_embeddings": 16,
                "attention_types": [[["global", "local"], 1]]},
    "openai-gpt": {**GPT, "n_positions": 16},
    "opt": {**OPT, "max_position_embeddings": 16},
    "biogpt": {**PLAIN, "max_position_embeddings": 16},
    "mpt": {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 16},
}  # fmt: skip
UNLIMITED: dict[str, dict[str, Any]] = {
    "llama": {**PLAIN, "max_position_embeddings": 16},
    "mistral": {**PLAIN, "num_key_value_heads": 2, "max_position_embeddings": 16, "sliding_window": 8},
    "gemma3_text": {**PLAIN, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 16},
    "phi3": {**PLAIN, "num_key_value_heads": 2, "max_position_embeddings": 16, "original_max_position_embeddings": 8},
    "gpt_neox": {**PLAIN, "max_position_embeddings": 16},
    "mixtral": {**PLAIN, "num_key_value_heads": 2, "num_local_experts": 4, "max_position_embeddings": 16},
    "qwen3_moe": {**PLAIN, "num_key_value_heads": 2, "head_dim": 8, "num_experts": 4, "moe_intermediate_size": 16,
                  "max_position_embeddings": 16},
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4, "seq_length": 16},
    "falcon": {**PLAIN, "max_position_embeddings": 16, "alibi": True},
    "mamba": {"hidden_size": 32, "num_hidden_layers": 2},
}  # fmt: skip


def outline(family: str, changes: dict[str, Any]) -> PreTrainedModel:
    with torch.device("meta"):
        config = AutoConfig.for_model(family, **(SMALL | changes))
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    return model


@pytest.mark.parametrize("family", TABLES)
def test_the_size_of_a_table_is_found(family: str) -> None:
    for length in (17, 30, 500):
        assert table_size(outline(family, TABLES[family]), length) == 16
    assert table_size(outline(family, TABLES[family]), 16) is None
    assert may_exceed(TABLES[family], 17)
    assert not may_exceed(TABLES[family], 16)


@pytest.mark.parametrize("family", UNLIMITED)
def test_models_without_a_table_read_any_length(family: str) -> None:
    for length in (17, 500):
        assert table_size(outline(family, UNLIMITED[family]), length) is None


@pytest.mark.parametrize("family", TABLES)
def test_what_is_found_is_what_the_model_can_read(family: str) -> None:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **(SMALL | TABLES[family]))).eval()
    with torch.no_grad():
        model(input_ids=torch.zeros((1, 16), dtype=torch.int64))
        with pytest.raises((IndexError, RuntimeError)):
            model(input_ids=torch.zeros((1, 17), dtype=torch.int64))
