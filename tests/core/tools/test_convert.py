"""``mft convert``: whole or not at all, and the same logits."""

import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

import mftkit
from checkpoints import CHECKPOINTS, FAMILIES, WITH_TOKENIZER
from commands import mft
from mftkit.tools.convert import convert
from recorder import Recorder


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_written_is_native_and_the_same(name: str, tmp_path: Path) -> None:
    reporter = Recorder()
    done = convert(str(CHECKPOINTS / name), tmp_path / "out", reporter)
    assert (done.architecture, done.difference) == (FAMILIES[name], 0.0)
    assert any("converted to" in note for note in reporter.notes)
    assert any("cannot be written back" in note for note in reporter.notes) == name.startswith("baichuan2")
    expected = load_file(CHECKPOINTS / name / "expected.safetensors")
    load = (
        mftkit.load_model
        if name == "baichuan2-13b"
        else lambda path: (AutoModelForCausalLM.from_pretrained(path), 0)
    )
    model, _ = load(tmp_path / "out")
    with torch.no_grad():
        assert (model(input_ids=expected["input_ids"]).logits - expected["logits"]).abs().max() < 2e-5
    if name in WITH_TOKENIZER:
        assert AutoTokenizer.from_pretrained(tmp_path / "out").is_fast
    with pytest.raises(mftkit.MftError, match="needs no conversion"):
        convert(str(tmp_path / "out"), tmp_path / "again")
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("safe", [True, False], ids=["safetensors", "bin"])
def test_the_dtype_is_the_checkpoints_own(tmp_path: Path, safe: bool) -> None:
    """Qwen 1's config names none, and its weights are of bfloat16."""
    shutil.copytree(CHECKPOINTS / "qwen1", tmp_path / "in")
    weights = load_file(tmp_path / "in" / "model.safetensors")
    halved = {name: weight.bfloat16() for name, weight in weights.items()}
    if safe:
        save_file(halved, tmp_path / "in" / "model.safetensors", metadata={"format": "pt"})
    else:
        (tmp_path / "in" / "model.safetensors").unlink()
        torch.save(halved, tmp_path / "in" / "pytorch_model.bin")
    convert(str(tmp_path / "in"), tmp_path / "out")
    written = load_file(tmp_path / "out" / "model.safetensors")
    assert {weight.dtype for weight in written.values()} == {torch.bfloat16}


def test_the_command_reports_what_it_did(tmp_path: Path) -> None:
    done = mft("convert", CHECKPOINTS / "baichuan2-13b", "--output", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "out")
    assert "to LlamaForCausalLM (float32), with its tokenizer" in done.stderr
    assert "largest difference of a logit before and after: 0 " in done.stderr
    again = mft("convert", CHECKPOINTS / "qwen1", "--output", "out", cwd=tmp_path)
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr.strip().endswith("exists and is not empty; give another directory")


def test_nothing_is_left_of_what_fails(tmp_path: Path) -> None:
    shutil.copytree(CHECKPOINTS / "chatglm2", tmp_path / "in")
    with pytest.raises(mftkit.MftError, match="which must not change"):
        convert(str(tmp_path / "in"), tmp_path / "in" / "out")
    config = json.loads((tmp_path / "in" / "config.json").read_text())
    (tmp_path / "in" / "config.json").write_text(json.dumps(config | {"num_layers": 3}))
    with pytest.raises(mftkit.MftError, match="lacks weights"):
        convert(str(tmp_path / "in"), tmp_path / "out")
    (tmp_path / "in" / "config.json").write_text(json.dumps(config))
    weights = load_file(tmp_path / "in" / "model.safetensors")
    weights["transformer.output_layer.weight"][0, 0] = float("nan")
    save_file(weights, tmp_path / "in" / "model.safetensors")
    with pytest.raises(mftkit.MftError, match="logits are not finite, and nothing was written"):
        convert(str(tmp_path / "in"), tmp_path / "out")
    assert [entry.name for entry in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("settings", [{"top_p": 0.8}, {"temperature": 0.8, "top_p": 0.8}])
def test_an_invalid_generation_config_stops_nothing(tmp_path: Path, settings: dict[str, float]) -> None:
    """Old ones set how to sample without saying to, which transformers refuses to write."""
    shutil.copytree(CHECKPOINTS / "baichuan2-7b", tmp_path / "in")
    (tmp_path / "in" / "generation_config.json").write_text(json.dumps({**settings, "eos_token_id": 2}))
    convert(str(tmp_path / "in"), tmp_path / "out")
    assert json.loads((tmp_path / "out" / "generation_config.json").read_text())["eos_token_id"] == 2


WEIGHTS, INDEX, PACKED = (
    "model.safetensors",
    "model.safetensors.index.json",
    "model.layers.0.self_attn.W_pack.weight",
)
Spoil = Callable[[Path], object]


def written(name: str, content: bytes) -> Spoil:
    return lambda at: (at / name).write_bytes(content)


def header(length: int, text: bytes = b"{}") -> bytes:
    return struct.pack("<Q", length) + text


def tensors(**changed: torch.Tensor | None) -> Spoil:
    """Other weights; ``PACKED`` is named "packed"; None takes one away."""

    def spoil(at: Path) -> None:
        named = {PACKED if name == "packed" else name: weight for name, weight in changed.items()}
        weights = load_file(at / WEIGHTS) | named
        save_file(
            {k: v for k, v in weights.items() if v is not None}, at / WEIGHTS, metadata={"format": "pt"}
        )

    return spoil


def indexed(name: str) -> Spoil:
    """An index of two files, one of which has this name."""

    def spoil(at: Path) -> None:
        (at / "sub").mkdir()
        names = list(load_file(at / WEIGHTS))
        (at / WEIGHTS).rename(at / "model-1.safetensors")
        weight_map = dict.fromkeys(names, "model-1.safetensors") | {names[0]: name}
        (at / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))

    return spoil


def index_of(content: bytes) -> Spoil:
    def spoil(at: Path) -> None:
        (at / WEIGHTS).unlink()
        (at / INDEX).write_bytes(content)

    return spoil


def configured(**changes: object) -> Spoil:
    def spoil(at: Path) -> None:
        config = json.loads((at / "config.json").read_text())
        (at / "config.json").write_text(json.dumps(config | changes))

    return spoil


def endless(name: str) -> Spoil:
    def spoil(at: Path) -> None:
        (at / name).unlink()
        os.mkfifo(at / name)

    return spoil


CORRUPT = f"cannot be loaded: {WEIGHTS} is truncated or corrupt; download it again"
HOSTILE: dict[str, tuple[Spoil, str]] = {
    "weights: cut off": (lambda at: os.truncate(at / WEIGHTS, 9000), CORRUPT),
    "weights: a header of 2**60 bytes": (written(WEIGHTS, header(2**60)), CORRUPT),
    "weights: a header of 2**64-1 bytes": (written(WEIGHTS, header(2**64 - 1)), CORRUPT),
    "weights: a deep header": (written(WEIGHTS, header(250000, b'{"a":' * 50000)), CORRUPT),
    "weights: a pipe": (endless(WEIGHTS), f"{WEIGHTS} is a pipe, a device or a socket, not a file"),
    "weights: a tensor lacks": (tensors(**{"lm_head.weight": None}), "lacks weights that the model needs: lm_head.weight"),
    "weights: one too many": (tensors(more=torch.ones(1)), "has weights that the model does not use: more"),
    "weights: a number": (tensors(packed=torch.tensor(3.0)), r"does not follow from config.json: .*k_proj.weight \(\(\) instead"),
    "weights: q alone": (tensors(packed=torch.ones(64, 64)), r"does not follow from config.json: .*k_proj.weight \(\(1, 64, 64\) instead"),
    "weights: a wide head": (tensors(**{"lm_head.weight": torch.ones(3)}), r"does not follow from config.json: lm_head.weight \(\(3,\) instead"),
    "index: a file outside": (indexed("../other.safetensors"), "weight_map names '../other.safetensors', which is no file of this directory"),
    "index: this directory": (indexed("."), "weight_map names '.', which is a directory; download"),
    "index: a directory": (indexed("sub"), "weight_map names 'sub', which is a directory; download"),
    "index: a zero byte": (indexed("a\0b"), r"weight_map names 'a\\x00b', which is no file of this directory"),
    "index: another file": (indexed("config.json"), "contains more than tensors, and code in it is not run"),
    "index: nothing": (index_of(b'{"metadata": {}, "weight_map": {}}'), f"{INDEX} is truncated or corrupt"),
    "index: deep": (index_of(b"[" * 100000), f"{INDEX} is truncated or corrupt"),
    "config: a list": (written("config.json", b"[]"), "no readable config.json: expected a JSON object, found list"),
    "config: deep": (written("config.json", b'{"a":' * 100000), "no readable config.json: it is nested too deeply"),
    "config: not UTF-8": (written("config.json", b"\xff{}"), "no readable config.json: "),
    "config: a pipe": (endless("config.json"), "config.json is a pipe, a device or a socket"),
    "config: wide": (configured(hidden_size=2**70), "config.json: hidden_size: should be at most 10,000,000"),
    "config: wider than memory": (configured(hidden_size=10**6), "not enough memory for it; check the sizes in its config.json"),
    "config: many layers": (configured(num_hidden_layers=10**6), "config.json: num_hidden_layers: should be at most 2,000"),
    "config: infinite": (configured(rms_norm_eps=float("inf")), "rms_norm_eps: inf must be a number, 0 or more"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_refused_in_one_message(case: str, tmp_path: Path) -> None:
    spoil, message = HOSTILE[case]
    shutil.copytree(CHECKPOINTS / "baichuan2-7b", tmp_path / "in")
    spoil(tmp_path / "in")
    with pytest.raises(mftkit.MftError, match=message) as caught:
        convert(str(tmp_path / "in"), tmp_path / "out")
    assert len(str(caught.value).splitlines()) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["in"]


def test_a_padding_token_without_an_id_stops_nothing(tmp_path: Path) -> None:
    """Old configs have -1 where there is none."""
    shutil.copytree(CHECKPOINTS / "baichuan2-7b", tmp_path / "in")
    configured(pad_token_id=-1)(tmp_path / "in")
    convert(str(tmp_path / "in"), tmp_path / "out")
    settings = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert settings.get("pad_token_id") is None


def test_weights_that_transformers_cannot_convert_are_named(tmp_path: Path) -> None:
    """Its error names neither tensor nor cause; they are in a table that it only logs."""
    config = AutoConfig.for_model(
        "mixtral", vocab_size=64, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, num_local_experts=2,
    )  # fmt: skip
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "in")
    weights = load_file(tmp_path / "in" / WEIGHTS)
    expert = next(name for name in weights if ".experts.1.w1" in name)
    save_file(weights | {expert: torch.ones(5, 5)}, tmp_path / "in" / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(
        mftkit.MftError, match=r"number or shape does not follow from config.json: .*\.experts\."
    ):
        mftkit.load_model(tmp_path / "in")
