import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from mftkit import LoadRequest, MftError, load_model
from mftkit.models import check_head, select_adapter
from mftkit.reporting.reporter import Reporter
from mftkit.testing.tiny import from_random
from mftkit_plugins.models.gemma import Gemma
from mftkit_plugins.models.huggingface import HuggingFace
from mftkit_plugins.models.llama import Llama
from mftkit_plugins.models.qwen import Qwen

TINY = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
SEVEN = ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]


@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("llama", "llama"),
        ("qwen2", "qwen"),
        ("qwen3", "qwen"),
        ("mistral", "mistral"),
        ("mixtral", "mixtral"),
        ("qwen3_moe", "qwen"),
        ("qwen", "qwen"),
        ("chatglm", "chatglm"),
        ("baichuan", "baichuan"),
        ("aquila", "aquila"),
        ("gpt_bigcode", "starcoder"),
        ("starcoder2", "starcoder"),
        ("deepseek_v3", "deepseek"),
        ("gpt_neox", "gpt-neox"),
        ("phi3", "phi"),
        ("gemma2", "gemma"),
        ("gemma3", "gemma"),
        ("gemma4", "gemma"),
        ("glm4", "glm"),
        ("bloom", "huggingface"),
    ],
)
def test_auto_knows_the_family(family: str, name: str) -> None:
    assert select_adapter({"model_type": family})[0] == name


def test_the_fallback_may_be_named_and_another_family_may_not() -> None:
    assert select_adapter({"model_type": "llama"}, "huggingface")[0] == "huggingface"
    with pytest.raises(
        MftError, match="qwen does not support model type 'llama'; these do: llama, huggingface"
    ):
        select_adapter({"model_type": "llama"}, "qwen")
    with pytest.raises(MftError, match="no installed adapter supports model type 't5'"):
        select_adapter({"model_type": "t5"})
    with pytest.raises(MftError, match="no installed adapter supports model type None"):
        select_adapter({})


def test_only_the_fallback_takes_a_family_that_brings_its_code() -> None:
    config = {"model_type": "strange", "auto_map": {"AutoModelForCausalLM": "modeling.Strange"}}
    assert select_adapter(config)[0] == "huggingface"


@pytest.mark.parametrize(
    ("adapter", "family", "targets"),
    [
        (Llama, "llama", SEVEN),
        (Qwen, "qwen2", SEVEN),
        (Qwen, "qwen3", SEVEN),
        (HuggingFace, "gpt_neox", ["dense", "dense_4h_to_h", "dense_h_to_4h", "query_key_value"]),
        (HuggingFace, "phi", ["dense", "fc1", "fc2", "k_proj", "q_proj", "v_proj"]),
    ],
)
def test_targets_are_the_decoders_linear_layers(adapter: type[Any], family: str, targets: list[str]) -> None:
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **TINY))
    assert adapter(adapter.Options()).lora_targets(model) == targets


@pytest.mark.parametrize("family", ["gemma3", "gemma4"])
def test_targets_of_a_composite_model_are_in_its_language_model(family: str) -> None:
    adapter = Gemma(Gemma.Options())
    config = next(row.config for row in adapter.families if row.config["model_type"] == family)
    model = from_random(adapter, dict(config))
    targets = adapter.lora_targets(model)
    found = [
        name
        for name, _ in model.named_modules()
        if any(name == target or name.endswith(f".{target}") for target in targets)
    ]
    assert any(name.endswith("layers.1.mlp.up_proj") for name in found)
    assert all("language_model" in name for name in found)


def test_targets_of_the_same_name_as_the_head_are_distinguished() -> None:
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **TINY))
    model.model.layers[0].mlp.lm_head = torch.nn.Linear(4, 4)
    targets = Llama(Llama.Options()).lora_targets(model)
    assert "model.layers.0.mlp.lm_head" in targets
    assert "lm_head" not in targets


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
def test_load_model_chooses_by_itself_and_gives_equal_logits(family: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **TINY)).eval()
    model.save_pretrained(tmp_path)
    ids = torch.arange(2, 20).unsqueeze(0)
    for adapter in ("auto", "huggingface"):
        loaded, tokenizer = load_model(str(tmp_path), adapter)
        assert tokenizer is None
        assert torch.equal(loaded(input_ids=ids).logits, model(input_ids=ids).logits)


def test_an_old_checkpoint_of_pickled_weights_is_read(tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **TINY)).eval()
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    loaded, _ = load_model(str(tmp_path))
    assert torch.equal(loaded.lm_head.weight, model.lm_head.weight)


def test_a_random_start_has_the_families_class() -> None:
    config = TINY | {"model_type": "qwen3"}
    model, tokenizer = Qwen(Qwen.Options()).load(
        LoadRequest(None, config, torch.float32, "auto", init="random")
    )
    assert type(model).__name__ == "Qwen3ForCausalLM"
    assert tokenizer is None
    assert json.loads(model.config.to_json_string())["model_type"] == "qwen3"


def test_the_fallback_is_reported_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    reporter = Reporter()
    monkeypatch.setattr(reporter, "note", notes.append)
    select_adapter({"model_type": "bloom"}, reporter=reporter)
    select_adapter({"model_type": "llama"}, reporter=reporter)
    [note] = notes
    assert note.startswith(
        "model.adapter: no installed adapter supports model type 'bloom'; using the fallback, huggingface"
    )


@pytest.mark.parametrize("family", ["gemma4_text", "gemma4"])
def test_a_second_table_of_embeddings_that_lacks_tokens_is_reported(family: str) -> None:
    adapter = Gemma(Gemma.Options())
    config: dict[str, Any] = dict(
        next(r.config for r in adapter.families if r.config["model_type"] == family)
    )
    text = {**config.get("text_config", config), "vocab_size_per_layer_input": 100}
    model = from_random(adapter, {**config, "text_config": text} if "text_config" in config else text)
    told = (
        "vocab_size_per_layer_input is 100, less than the vocabulary of 128 tokens.*; set it to at least that"
    )
    with pytest.raises(MftError, match=told):
        adapter.head(model)
    with pytest.raises(MftError, match=told):
        check_head(adapter, model)
    from_random(adapter, text | {"model_type": "gemma4_text", "hidden_size_per_layer_input": 0})
