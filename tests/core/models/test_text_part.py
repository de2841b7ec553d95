"""Training on text changes the language model of a composite one, and nothing else."""

import json
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

import mftkit
from mftkit.models import read_config, select_adapter
from mftkit.models.text_part import find_decoder, freeze_other_parts
from mftkit.testing.tiny import AnyAdapter, from_random, tiny_tokenizer, try_tiny_config
from mftkit_plugins.models.gemma import Gemma
from mftkit_plugins.models.llama import Llama


def model_of(adapter: mftkit.NativeAdapter, model_type: str) -> PreTrainedModel:
    config = next(row.config for row in adapter.families if row.config["model_type"] == model_type)
    return from_random(adapter, dict(config))


def test_nothing_of_a_plain_model_is_frozen() -> None:
    model = model_of(Llama(Llama.Options()), "llama")
    assert freeze_other_parts(model) == ""
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("model_type", ["gemma3", "gemma4"])
def test_what_reads_images_is_frozen(model_type: str) -> None:
    adapter = Gemma(Gemma.Options())
    model = model_of(adapter, model_type)
    note = freeze_other_parts(model)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    frozen = dict(model.named_parameters()).keys() - trained
    assert "model.language_model.embed_tokens.weight" in trained
    assert all("language_model" in name for name in trained)
    assert frozen
    assert not any("language_model" in name for name in frozen)
    assert "are no part of its language model" in note
    model(input_ids=torch.arange(6)[None], use_cache=False).logits.sum().backward()
    assert all(parameter.grad is None for name, parameter in model.named_parameters() if name in frozen)


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_a_composite_model_trains_on_text(tuning: str, tmp_path: Path) -> None:
    adapter, tokenizer = Gemma(Gemma.Options()), tiny_tokenizer()
    config = next(row.config for row in adapter.families if row.config["model_type"] == "gemma4")
    sized = {
        **config["text_config"],
        "vocab_size": len(tokenizer),
        "vocab_size_per_layer_input": len(tokenizer),
    }
    base = from_random(adapter, {**config, "text_config": sized})
    base.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    assert select_adapter(read_config(str(tmp_path / "base")))[0] == "gemma"
    rows = [{"prompt": f"add {i}", "response": f"{i} + {i}"} for i in range(24)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    spec = {
        "name": "composite",
        "output": str(tmp_path / "run"),
        "model": {"path": str(tmp_path / "base")},
        "tasks": [{"name": "sums", "train": [str(tmp_path / "rows.jsonl")], "valid": 0.2}],
        "max_length": 48,
        "tuning": {"method": tuning},
        "training": {
            "epochs": 1,
            "batch_size": 4,
            "micro_batch_size": 4,
            "learning_rate": 0.01,
            "max_steps": 2,
        },
    }
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    mftkit.run(str(tmp_path / "spec.json"))
    log = (tmp_path / "run" / "log.txt").read_text()
    assert ("are no part of its language model" in log) == (tuning == "full")
    before = dict(base.named_parameters())
    after, _ = mftkit.load_model(str(tmp_path / "run"))
    changed = {
        name
        for name, parameter in after.named_parameters()
        if "lora_" in name or not torch.equal(parameter, before.get(name, parameter))
    }
    assert changed
    assert all("language_model" in name for name in changed)


def test_a_decoder_under_an_unusual_name_is_found() -> None:
    config, _ = try_tiny_config("llama4_text")
    model = from_random(AnyAdapter(AnyAdapter.Options()), config or {})
    decoder = find_decoder(model)
    assert decoder is model.model
    assert isinstance(decoder, PreTrainedModel)
    assert find_decoder(decoder) is None
