"""An adapter is loaded completely or refused with what is wrong, and an index names files beside it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PromptTuningConfig, VBLoRAConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from mftkit.base.quiet import without_peft_noise
from mftkit.models.adapter_loading import load_adapter
from mftkit.models.weight_index import check_indexes
from mftkit_registry import MftError

SHAPE: dict[str, Any] = {
    "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 32,
}  # fmt: skip
WEIGHTS = "adapter_model.safetensors"


def base() -> PreTrainedModel:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SHAPE))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("adapter")
    config = LoraConfig(
        task_type="CAUSAL_LM", r=2, target_modules=["q_proj", "v_proj"], modules_to_save=["embed_tokens"],
        init_lora_weights=False,
    )  # fmt: skip
    with without_peft_noise():
        model: Any = get_peft_model(base(), config)
        model.save_pretrained(str(place))
    return place


class Runs:
    """Runs code where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('it ran')",)


def reshape(change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Callable[[Path], None]:
    def act(place: Path) -> None:
        save_file(change(load_file(place / WEIGHTS)), place / WEIGHTS)

    return act


def configure(**changes: Any) -> Callable[[Path], None]:
    def act(place: Path) -> None:
        file = place / "adapter_config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))

    return act


def configured_as(content: bytes) -> Callable[[Path], None]:
    def act(place: Path) -> None:
        (place / "adapter_config.json").write_bytes(content)

    return act


def pickled(place: Path) -> None:
    (place / WEIGHTS).unlink()
    torch.save({"a": Runs()}, place / "adapter_model.bin")


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a tensor is missing": (
        reshape(lambda all_: {name: each for name, each in all_.items() if "q_proj.lora_A" not in name}),
        r"lacks tensors that the model needs: .*q_proj\.lora_A",
    ),
    "none": (
        reshape(lambda all_: {name: each for name, each in all_.items() if "lora" not in name}),
        "lacks tensors that the model needs: .*lora_A",
    ),
    "foreign": (
        reshape(lambda all_: {**all_, "base_model.model.other.lora_A.weight": torch.zeros(2, 2)}),
        "has tensors that the model does not use: .*other",
    ),
    "shape": (
        reshape(lambda all_: {name: torch.zeros(3, 3) for name in all_}),
        "cannot load the adapter in .*size mismatch",
    ),
    "header": (
        lambda place: (place / WEIGHTS).write_bytes((2**60).to_bytes(8, "little") + b"{}"),
        "cannot load the adapter in .*[Hh]eader",
    ),
    "empty": (
        lambda place: (place / WEIGHTS).write_bytes(b""),
        "cannot load the adapter in .*header",
    ),
    "code": (pickled, "contains more than tensors, and code in it is not run"),
    "no weights": (lambda place: (place / WEIGHTS).unlink(), r"has no weights of an adapter \(adapter_model"),
    "pattern": (configure(target_modules="(q_proj"), "cannot load the adapter in .*unterminated subpattern"),
    "rank": (
        configure(r="two"),
        r"adapter_config\.json: r should be an integer above 0 \(given: 'two'\); fix it",
    ),
    "no rank": (
        configure(r=None),
        r"adapter_config\.json: r should be an integer above 0 \(given: None\); fix it",
    ),
    "rank below 0": (
        configure(r=-1),
        r"adapter_config\.json: r should be an integer above 0 \(given: -1\); fix it",
    ),
    "rank of 10^9": (configure(r=10**9), "not enough memory for it; check the ranks in adapter_config.json"),
    "alpha": (
        configure(lora_alpha=None),
        r"adapter_config\.json: lora_alpha should be a number \(given: None\)",
    ),
    "dropout": (configure(lora_dropout="x"), r"adapter_config\.json: lora_dropout should be a number from 0"),
    "ranks": (
        configure(rank_pattern=5),
        r"adapter_config\.json: rank_pattern should be an object with numbers",
    ),
    "targets": (
        configure(target_modules=5),
        r"adapter_config\.json: target_modules should be a list of names, or",
    ),
    "a target": (
        configure(target_modules=[5]),
        r"adapter_config\.json: target_modules should be a list of names, or",
    ),
    "saved modules": (
        configure(modules_to_save=5),
        r"adapter_config\.json: modules_to_save should be a list of names",
    ),
    "no kind": (
        configure(peft_type=None),
        r"adapter_config\.json: peft_type should be one .*\(given: None\); fix it",
    ),
    "unknown kind": (
        configure(peft_type="X"),
        r"adapter_config\.json: peft_type should be one .*\(given: 'X'\); fix it",
    ),
    "a list": (
        configured_as(b"[]"),
        r"adapter_config\.json cannot be read: expected a JSON object, found list; write",
    ),
    "nested": (
        configured_as(b'{"a":' * 100000),
        r"adapter_config\.json cannot be read: it is nested too deeply; write",
    ),
    "no config": (
        lambda place: (place / "adapter_config.json").unlink(),
        r"has no adapter_config\.json; give the dir",
    ),
    "modules": (
        configure(modules_to_save=["embed_tokens", "nope"]),
        "modules_to_save names no module .*: nope$",
    ),
}


def test_all_of_an_adapter_is_loaded(saved: Path) -> None:
    tuned = load_adapter(base(), saved)
    held = {name.replace(".default", ""): each for name, each in tuned.state_dict().items()}
    stored = load_file(saved / WEIGHTS)
    assert all(torch.equal(held[name], each) for name, each in stored.items() if "lora" in name)
    assert sum("lora" in name for name in stored) == 4


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_one_message(saved: Path, tmp_path: Path, name: str) -> None:
    place = shutil.copytree(saved, tmp_path / "adapter")
    damage, message = DAMAGE[name]
    damage(place)
    with pytest.raises(MftError, match=f"^RUN: .*{message}") as caught:
        load_adapter(base(), place)
    assert "\n" not in str(caught.value)


def write(place: Path, config: Any) -> None:
    with without_peft_noise():
        model: Any = get_peft_model(base(), config)
        model.save_pretrained(str(place))


def test_a_tensor_that_layers_share_is_stored_once(tmp_path: Path) -> None:
    write(
        tmp_path,
        VBLoRAConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], r=2, num_vectors=4, vector_length=4),
    )
    held = load_adapter(base(), tmp_path).state_dict()
    stored = load_file(tmp_path / WEIGHTS)["base_model.vblora_vector_bank"]
    assert torch.equal(held["base_model.vblora_vector_bank.default"], stored)


def test_a_prompt_with_a_foreign_tensor_is_refused(tmp_path: Path) -> None:
    write(tmp_path, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2))
    load_adapter(base(), tmp_path)
    reshape(lambda all_: {**all_, "other": torch.zeros(2)})(tmp_path)
    with pytest.raises(MftError, match="has tensors that the model does not use: other$"):
        load_adapter(base(), tmp_path)


@pytest.mark.parametrize("name", ["../other.safetensors", "/etc/passwd", 3, None, "", ".", "sub"])
def test_an_index_names_files_of_its_directory(tmp_path: Path, name: Any) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(
        json.dumps({"metadata": {}, "weight_map": {"a": "part-1.safetensors", "b": "deep/part-2"}})
    )
    check_indexes(str(tmp_path))
    index.write_text(json.dumps({"metadata": {}, "weight_map": {"a": "part-1.safetensors", "b": name}}))
    (tmp_path / "sub").mkdir()
    with pytest.raises(
        MftError, match=r"model\.path: .*index\.json: weight_map names .*; download the checkpoint"
    ):
        check_indexes(str(tmp_path))
