"""Models whose weights are changed in memory, against sums of the files' weights in float64."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

import mftkit
from mftkit.base.quiet import without_peft_noise
from mftkit.reporting.reporter import Reporter
from mftkit.tools.merging.merging import ToMerge, merge_models
from mftkit.tools.merging.options import MergeOptions
from mftkit.tools.merging.weighted import WeightedAdapter, WeightedWhole

TINY = {
    "vocab_size": 48, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "bos_token_id": None, "eos_token_id": 0,
}  # fmt: skip
WEIGHTS = (0.2, 0.5, 0.3)


def whole(root: Path, dtype: torch.dtype = torch.float32, *, tied: bool = True) -> list[Path]:
    torch.manual_seed(0)
    config = AutoConfig.for_model("llama", **TINY, tie_word_embeddings=tied)
    paths = [root / f"model{number}" for number in range(3)]
    for path in paths:
        AutoModelForCausalLM.from_config(config).to(dtype).save_pretrained(path, max_shard_size="8KB")
    return paths


def tensors(path: Path) -> dict[str, Any]:
    return {name: each for file in path.glob("*.safetensors") for name, each in load_file(file).items()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_whole_model_is_the_weighted_sum_of_the_files_and_never_of_what_it_was_before(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    paths = whole(tmp_path, dtype)
    model = mftkit.load_model(paths[0])[0].float()
    with ExitStack() as stack:
        merged = WeightedWhole(model, paths, stack, Reporter())
        for _ in range(3):
            merged.use((0.9, 0.1, 0.0))
            merged.use(WEIGHTS)
        state, files = model.state_dict(), [tensors(path) for path in paths]
        assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
        for name, first in files[0].items():
            expected = sum(w * each[name].double() for w, each in zip(WEIGHTS, files, strict=True))
            assert first.dtype is dtype
            assert (state[name].double() - expected).abs().max() < 1e-7
        merged.use((0.0, 1.0, 0.0))
        assert all(torch.equal(state[name], each.float()) for name, each in files[1].items())


def test_tensors_that_have_other_names_in_files_are_read_by_loading_the_model(tmp_path: Path) -> None:
    paths = whole(tmp_path, tied=False)
    model = mftkit.load_model(paths[0])[0]
    expected = [dict(mftkit.load_model(path)[0].state_dict()) for path in paths]
    for path in paths:  # as checkpoints of the model without its head are named, which loading translates
        renamed = {name.removeprefix("model."): each.contiguous() for name, each in tensors(path).items()}
        for file in path.glob("*.safetensors*"):
            file.unlink()
        save_file(renamed, path / "model.safetensors", metadata={"format": "pt"})
        PreTrainedTokenizerFast(tokenizer_object=tokenizer()).save_pretrained(path)
    with ExitStack() as stack:
        WeightedWhole(model, paths, stack, Reporter()).use(WEIGHTS)
    for name, each in model.state_dict().items():
        total = sum(w * one[name].double() for w, one in zip(WEIGHTS, expected, strict=True))
        assert (each.double() - total).abs().max() < 1e-7


def tokenizer() -> Any:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    return Tokenizer(WordLevel({"a": 0}, unk_token="a"))


def test_other_shapes_are_refused(tmp_path: Path) -> None:
    paths = whole(tmp_path)
    model = mftkit.load_model(paths[0])[0]
    config = AutoConfig.for_model("llama", **(TINY | {"vocab_size": 50}), tie_word_embeddings=True)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "wide")
    with ExitStack() as stack, pytest.raises(mftkit.MftError, match="has different shapes"):
        WeightedWhole(model, [*paths[:2], tmp_path / "wide"], stack, Reporter())


def adapters(root: Path) -> list[Path]:
    """Adapters of different ranks and scales on one base."""
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **TINY)).save_pretrained(root / "base")
    paths = []
    for number in range(3):
        base = AutoModelForCausalLM.from_pretrained(root / "base")
        config = peft.LoraConfig(
            task_type="CAUSAL_LM",
            r=2 + number,
            lora_alpha=3 + number,
            rank_pattern={"down_proj": 3},
            target_modules=["q_proj", "down_proj", "embed_tokens"],
        )
        with without_peft_noise():
            tuned = peft.get_peft_model(base, config)
        for parameter in tuned.parameters():
            if parameter.requires_grad:
                parameter.data.normal_(std=0.1)
        tuned.peft_config["default"].base_model_name_or_path = str(root / "base")
        tuned.save_pretrained(str(root / f"adapter{number}"), save_embedding_layers=False)
        paths.append(root / f"adapter{number}")
    return paths


def updates(model: Any) -> dict[str, Any]:
    layers: dict[str, Any] = {
        name: each for name, each in model.named_modules() if isinstance(each, peft.tuners.lora.LoraLayer)
    }
    return {name: each.get_delta_weight("default").detach().double() for name, each in layers.items()}


def test_an_adapter_has_the_weighted_sum_of_the_updates_and_the_base_is_untouched(tmp_path: Path) -> None:
    paths = adapters(tmp_path)
    merge_models(ToMerge(paths, MergeOptions(weight=1.0), 1), tmp_path / "sum", Reporter())
    model: Any = mftkit.load_model(tmp_path / "sum")[0]
    each = [updates(mftkit.load_model(path)[0]) for path in paths]
    merged = WeightedAdapter(model, paths)
    for weights in ((0.0, 0.0, 1.0), WEIGHTS):
        merged.use(weights)
        for name, found in updates(model).items():
            expected = sum(w * one[name] for w, one in zip(weights, each, strict=True))
            assert (found - expected).abs().max() < 1e-7
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base").state_dict()
    own = model.get_base_model().state_dict()
    kept = [name for name in own if "lora" not in name]
    assert len(kept) >= len(base)
    assert all(torch.equal(own[name], base[name.replace(".base_layer", "")]) for name in kept)
