"""``mft convert``: whole or not at all, and the same logits."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import mftkit
from checkpoints import CHECKPOINTS, FAMILIES, WITH_TOKENIZER
from commands import mft
from mftkit.reporting.reporter import Reporter
from mftkit.tools.convert import convert


class Recorder(Reporter):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


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
