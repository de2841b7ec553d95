from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from mftkit import MftError
from mftkit.models import read_config
from mftkit.models.config import build_config, text_values, with_text_keys


def refused(path: Path | str) -> str:
    with pytest.raises(MftError) as caught:
        read_config(str(path))
    return str(caught.value)


def test_the_config_is_read_as_it_stands(checkpoint: tuple[Path, PreTrainedModel]) -> None:
    config = read_config(str(checkpoint[0]))
    assert config["model_type"] == "llama"
    assert config["hidden_size"] == 32


def test_what_holds_no_config_is_reported(tmp_path: Path) -> None:
    assert f"there is no directory {tmp_path / 'none'}" in refused(tmp_path / "none")
    assert "has no config.json" in refused(tmp_path)
    file = tmp_path / "model.bin"
    file.touch()
    assert "is a file" in refused(file)


def test_a_config_that_is_not_json_is_reported(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{broken")
    assert "has no readable config" in refused(tmp_path)


def test_an_adapter_in_place_of_a_model_is_reported(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    assert "holds a PEFT adapter" in refused(tmp_path)


@pytest.mark.parametrize("path", ["nobody/no-such-model", "no-such-model"])
def test_an_id_that_the_hub_does_not_serve_is_reported_in_one_message(path: str) -> None:
    message = refused(path)
    assert message.startswith(f"model.path: {path} ")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"hidden_size": 10**9}, "hidden_size"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers"),
        ({"vocab_size": 10**12}, "vocab_size"),
        ({"text_config": {"num_local_experts": 10**30}}, "text_config.num_local_experts"),
    ],
)
def test_sizes_that_no_model_has_are_refused(config: dict[str, object], key: str) -> None:
    with pytest.raises(MftError, match=rf"model.config.{key}: should be at most"):
        build_config({"model_type": "llama", **config})


def test_a_config_that_is_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"a":' + "[" * 100_000 + "]" * 100_000 + "}")
    with pytest.raises(MftError, match="has no readable config"):
        read_config(str(tmp_path))


TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
}


@pytest.mark.parametrize("text", [{}, {"text_config": TEXT}])
@pytest.mark.parametrize("model_type", ["qwen3_5", "qwen3_5_moe", "gemma4", "gemma3"])
def test_what_follows_from_the_tokenizer_belongs_to_the_text_part_of_a_composite_model(
    model_type: str, text: dict[str, object]
) -> None:
    values = with_text_keys({"model_type": model_type, **text}, {"vocab_size": 99, "eos_token_id": 3})
    if model_type == "qwen3_5_moe" and text:  # it has experts only
        del values["text_config"]["intermediate_size"]
    config = build_config(values).get_text_config()
    assert (config.vocab_size, config.eos_token_id) == (99, 3)
    if text:
        assert config.hidden_size == 32


def test_a_vocabulary_that_the_spec_gives_stays() -> None:
    for given in (
        {"model_type": "llama", "vocab_size": 7},
        {"model_type": "qwen3_5", "text_config": {"vocab_size": 7}},
    ):
        assert text_values(with_text_keys(given, {"vocab_size": 99}))["vocab_size"] == 7


@pytest.mark.parametrize(
    ("model_type", "key", "value"),
    [
        ("glm4_moe", "head_dim", 16),
        ("granite", "head_dim", 16),
        ("granitemoehybrid", "head_dim", 16),
        ("smollm3", "head_dim", 16),
        ("olmo3", "head_dim", 16),
        ("glm4_moe", "partial_rotary_factor", 0.5),
        ("gpt_neox", "rotary_pct", 0.5),
        ("bloom", "n_embed", 32),
        ("qwen3_next", "full_attention_interval", 2),
    ],
)
def test_a_key_that_only_the_code_of_the_family_reads_is_accepted(
    model_type: str, key: str, value: object
) -> None:
    build_config({"model_type": model_type, key: value})


def test_a_width_of_heads_that_only_the_code_reads_takes_effect() -> None:
    config = build_config({"model_type": "granite", **TEXT, "vocab_size": 64})
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    assert model.model.layers[0].self_attn.q_proj.weight.shape == (4 * 16, 32)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "granite", "head_dimm": 16}, "model.config.head_dimm: .* no such key"),
        ({"model_type": "llama", "hiden_size": 16}, "model.config.hiden_size: .*; did you mean hidden_size?"),
        ({"model_type": "qwen3_5", "vocab_size": 64}, "model.config.vocab_size: .*belong to text_config"),
        (
            {"model_type": "qwen3_5", "text_config": {"hiden_size": 16}},
            "model.config.text_config.hiden_size: .*; did you mean hidden_size?",
        ),
        (
            {"model_type": "fuyu", "text_config": {"model_type": "persimmon", "hiden_size": 16}},
            "model.config.text_config.hiden_size: .*; did you mean hidden_size?",
        ),
    ],
)
def test_a_key_that_nothing_reads_is_refused(config: dict[str, object], message: str) -> None:
    with pytest.raises(MftError, match=message):
        build_config(config)
