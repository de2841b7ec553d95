"""Merged LoRA adapters, against peft's exact combination and against the formulas on products."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

import mftkit
from merge_formulas import ties
from mftkit.base.quiet import without_peft_noise
from mftkit.reporting.reporter import Reporter
from mftkit.tools.merging.merging import ToMerge, merge_models
from mftkit.tools.merging.options import MergeOptions

TINY = {
    "vocab_size": 48, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "bos_token_id": None, "eos_token_id": 0,
}  # fmt: skip
IDS = torch.arange(12).view(1, 12)


def make(root: Path, count: int = 2, **options: Any) -> list[Path]:
    """Adapters of random numbers over one base."""
    tied = {"tie_word_embeddings": options.pop("tied", False)}
    config: dict[str, Any] = {
        "r": 2,
        "lora_alpha": 3,
        "target_modules": ["q_proj", "down_proj", "embed_tokens"],
    }
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **TINY, **tied))
    base.save_pretrained(root / "base")
    paths = []
    for number in range(count):
        base = AutoModelForCausalLM.from_pretrained(root / "base")
        with without_peft_noise():
            tuned = peft.get_peft_model(base, peft.LoraConfig(task_type="CAUSAL_LM", **config | options))
        for parameter in tuned.parameters():
            if parameter.requires_grad:
                parameter.data.normal_(std=0.1)
        tuned.peft_config["default"].base_model_name_or_path = str(root / "base")
        tuned.save_pretrained(str(root / f"adapter{number}"), save_embedding_layers=False)
        paths.append(root / f"adapter{number}")
    return paths


def combined(paths: list[Path], weight: float) -> Any:
    """All adapters in peft, and "cat": its combination that is exact."""
    with without_peft_noise():
        base = AutoModelForCausalLM.from_pretrained(paths[0].parent / "base")
        tuned: Any = peft.PeftModel.from_pretrained(base, str(paths[0]), adapter_name="0")
        for number, path in enumerate(paths[1:], 1):
            tuned.load_adapter(str(path), adapter_name=str(number))
        names = [str(number) for number in range(len(paths))]
        tuned.add_weighted_adapter(names, [weight] * len(names), "cat", combination_type="cat")
        tuned.set_adapter("cat")
    return tuned.eval()


def layers(tuned: Any) -> dict[str, Any]:
    return {
        name: each for name, each in tuned.named_modules() if isinstance(each, peft.tuners.lora.LoraLayer)
    }


def test_an_average_is_one_adapter_with_the_exact_average_of_the_updates(tmp_path: Path) -> None:
    paths = make(tmp_path, 3)
    assert merge_models(ToMerge(paths, MergeOptions(), 1), tmp_path / "new", Reporter())
    model: Any = mftkit.load_model(tmp_path / "new")[0]
    assert model.peft_config["default"].r == 6
    expected = combined(paths, 1 / 3)
    for name, layer in layers(expected).items():
        own = layers(model)[name].get_delta_weight("default")
        assert torch.equal(own, layer.get_delta_weight("cat"))
        mean = sum(layer.get_delta_weight(str(n)).double() for n in range(3)) / 3
        assert (own.double() - mean).abs().max() < 1e-8
    assert torch.allclose(model(IDS).logits, expected(IDS).logits, atol=1e-6)


def test_ranks_and_scales_by_module_stay_exact(tmp_path: Path) -> None:
    paths = make(
        tmp_path, use_rslora=True, rank_pattern={"down_proj": 4}, alpha_pattern={"q_proj": 5, "down_proj": 7}
    )
    assert merge_models(ToMerge(paths, MergeOptions(weight=0.8), 1), tmp_path / "new", Reporter())
    model: Any = mftkit.load_model(tmp_path / "new")[0]
    given = combined(paths, 0.8)
    for name, layer in layers(model).items():
        expected = sum(layers(given)[name].get_delta_weight(str(n)).double() for n in range(2)) * 0.8
        assert (layer.get_delta_weight("default").double() - expected).abs().max() < 1e-7


def test_ties_works_on_the_products_and_gives_a_whole_model(tmp_path: Path) -> None:
    paths = make(tmp_path, 3)
    options = MergeOptions.from_json({"method": "ties", "density": 0.4}, "test")
    assert merge_models(ToMerge(paths, options, 1), tmp_path / "new", Reporter())
    model: Any = mftkit.load_model(tmp_path / "new")[0]
    given = layers(combined(paths, 1.0))
    vectors = [
        np.concatenate(
            [each.get_delta_weight(str(n)).detach().double().numpy().ravel() for each in given.values()]
        )
        for n in range(3)
    ]
    own = dict(model.named_modules())
    start = np.concatenate(
        [each.get_base_layer().weight.detach().double().numpy().ravel() for each in given.values()]
    )
    found = np.concatenate(
        [
            own[name.removeprefix("base_model.model.")].weight.detach().double().numpy().ravel()
            for name in given
        ]
    )
    assert np.abs(found - (start + ties(vectors, 0.4, 1.0))).max() < 1e-6


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"use_dora": True, "target_modules": ["q_proj"]}, "use_dora"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
    ],
)
def test_an_adapter_that_is_more_than_products_is_refused(
    tmp_path: Path, options: dict[str, Any], problem: str
) -> None:
    paths = make(tmp_path, **options)
    with pytest.raises(mftkit.MftError, match=f"this adapter has {problem}"):
        merge_models(ToMerge(paths, MergeOptions(), 1), tmp_path / "new", Reporter())


def test_adapters_of_different_bases_are_refused(tmp_path: Path) -> None:
    one, other = make(tmp_path / "a", 1)[0], make(tmp_path / "b", 1)[0]
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "b" / "base")
    model.lm_head.weight.data += 1
    model.save_pretrained(tmp_path / "b" / "base")
    with pytest.raises(mftkit.MftError, match="has other weights than"):
        merge_models(ToMerge([one, other], MergeOptions(), 1), tmp_path / "new", Reporter())


def test_a_weight_that_is_shared_with_another_module_is_not_changed_in_both(tmp_path: Path) -> None:
    paths = make(tmp_path, tied=True, target_modules=["embed_tokens"])
    options = MergeOptions.from_json({"method": "dare"}, "test")
    with pytest.raises(mftkit.MftError, match="change embed_tokens, whose weights the base shares"):
        merge_models(ToMerge(paths, options, 1), tmp_path / "new", Reporter())
    assert merge_models(ToMerge(paths, MergeOptions(), 1), tmp_path / "new", Reporter())
