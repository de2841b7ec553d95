"""Checkpoints that cannot be used: one message, exit code 2, nothing written."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from mftkit.cli import main
from mftkit.data.tokens.train_tokenizer import train_bpe
from small_runs import rows, small_spec, write_rows

SHAPE = {
    "vocab_size": 300, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 128, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint in several shards, with its tokenizer, and data."""
    directory = tmp_path_factory.mktemp("bad-models")
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **SHAPE))
    model.save_pretrained(directory / "model", max_shard_size="30KB")
    assert len(list((directory / "model").glob("*.safetensors"))) > 2
    train_bpe(["def sort(value): return sort(value)"] * 9, 300).save_pretrained(directory / "model")
    for name, count in (("big", 30), ("small", 12)):
        write_rows(directory / "data" / f"{name}.jsonl", rows(name, count))
    return directory


@pytest.fixture
def run(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Spoils a copy of the checkpoint and runs it; returns the exit code and the one error."""

    def attempt(spoil: Any) -> Any:
        checkpoint = tmp_path / "model"
        checkpoint.mkdir()
        for file in (whole / "model").iterdir():
            (checkpoint / file.name).write_bytes(file.read_bytes())
        (tmp_path / "data").symlink_to(whole / "data")
        spoil(checkpoint)
        spec = small_spec(model={"path": "model"}, training={"max_steps": 1, "evaluate_every": "epoch"})
        (tmp_path / "spec.json").write_text(json.dumps(spec))
        capsys.readouterr()
        code = main(["run", str(tmp_path / "spec.json")])
        printed = capsys.readouterr()
        assert printed.out == ""
        lines = printed.err.strip().splitlines()
        assert "Traceback" not in printed.err
        errors = [line for line in lines if line.startswith("error: ")]
        assert len(errors) <= 1
        assert not (tmp_path / "run").exists()
        return code, errors[0] if errors else ""

    return attempt


def shard(checkpoint: Path, number: int = 1) -> Any:
    return sorted(checkpoint.glob("*.safetensors"))[number]


def configured(**changes: Any) -> Any:
    def spoil(checkpoint: Path) -> None:
        file = checkpoint / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return spoil


def misshapen(checkpoint: Path) -> None:
    for file in checkpoint.glob("*.safetensors"):
        weights = load_file(file)
        if "model.norm.weight" in weights:
            save_file({**weights, "model.norm.weight": torch.ones(5)}, file, metadata={"format": "pt"})


def strange(checkpoint: Path) -> None:
    configured(model_type="strange", auto_map={"AutoModelForCausalLM": "modeling_strange.Strange"})(
        checkpoint
    )
    (checkpoint / "modeling_strange.py").write_text("raise SystemExit('was run')")


def not_finite(checkpoint: Path) -> None:
    for file in checkpoint.glob("*.safetensors"):
        weights = load_file(file)
        if "model.norm.weight" in weights:
            save_file(
                {**weights, "model.norm.weight": torch.full((32,), torch.nan)},
                file,
                metadata={"format": "pt"},
            )


def own_tokenizer(checkpoint: Path) -> None:
    file = checkpoint / "tokenizer_config.json"
    own = {
        "tokenizer_class": "StrangeTokenizer",
        "auto_map": {"AutoTokenizer": ["strange.StrangeTokenizer", None]},
    }
    file.write_text(json.dumps(json.loads(file.read_text()) | own))
    (checkpoint / "strange.py").write_text("raise SystemExit('was run')")


def large(checkpoint: Path) -> None:
    words = train_bpe(["def sort(value): return sort(value)"] * 9, 300)
    words.add_tokens([*(f"<{i}>" for i in range(40)), "value"])
    words.save_pretrained(checkpoint)


def remove(*patterns: Any) -> Any:
    def spoil(checkpoint: Path) -> None:
        for pattern in patterns:
            for file in checkpoint.glob(pattern):
                file.unlink()

    return spoil


CASES = {
    "unknown type": (configured(model_type="no-such"), r"no installed adapter supports model type 'no-such'"),
    "not causal": (configured(model_type="t5"), "it is not a causal language model of transformers; install a plugin"),
    "missing shard": (lambda at: shard(at).unlink(), r"cannot be loaded: .*safetensors"),
    "missing weights": (remove("*.safetensors*"), "cannot be loaded"),
    "truncated shard": (lambda at: shard(at).write_bytes(shard(at).read_bytes()[:-900]), "cannot be loaded"),
    "empty shard": (lambda at: shard(at).write_bytes(b""), "cannot be loaded"),
    "broken index": (lambda at: next(at.glob("*.index.json")).write_text('{"weight_'), "cannot be loaded"),
    "index of another": (
        lambda at: next(at.glob("*.index.json")).write_text('{"metadata": {}}'), "index.json is truncated or corrupt"
    ),
    "shard is a directory": (
        lambda at: (shard(at).rename(at / "moved"), shard(at).with_name("extra.safetensors").mkdir()), "cannot be loaded"
    ),
    "shard that was not fetched": (
        lambda at: shard(at).write_text("version https://git-lfs.github.com/spec/v1"), "safetensors is truncated or corrupt",
    ),
    "not finite": (not_finite, "the logits of LlamaForCausalLM are not finite: its weights contain NaN"),
    "no activation": (configured(hidden_act="nope"), "unknown key 'nope'"),
    "tokenizer's code": (own_tokenizer, "the tokenizer of .* needs the checkpoint's own code, and running that is disabled"),
    "missing layer": (configured(num_hidden_layers=3), "lacks weights that the model needs: model.layers.2"),
    "shape": (misshapen, r"whose shape does not follow from config.json: model.norm.weight \(\(5,\) instead of \(32,\)\)"),
    "no tokenizer": (remove("tokenizer*"), "no tokenizer files in .* Set model.tokenizer to a path or hub id"),
    "broken tokenizer": (lambda at: (at / "tokenizer.json").write_text("{"), "the tokenizer of .* cannot be read"),
    "vocabulary": (large, r"\.jsonl:1: the sample contains the token value \(id 3..\), but the model's embedding has 300 rows"),
    "remote code": (strange, "set model.trust_remote_code to true if you trust it"),
    "config": (lambda at: (at / "config.json").write_text("{"), "has no readable config"),
    "config that is none": (lambda at: (at / "config.json").write_text("null"), "has no readable config"),
    "config's numbers": (configured(num_attention_heads=5), "hidden size .* is not a multiple of the number of attention"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_one_message_exit_2_and_nothing_written(case: Any, run: Any) -> None:
    spoil, message = CASES[case]
    code, error = run(spoil)
    assert code == 2
    assert re.search(message, error), error


def test_the_checkpoint_unspoilt_trains(whole: Path, tmp_path: Path) -> None:
    """What proves that the refusals are about what was spoilt."""
    (tmp_path / "data").symlink_to(whole / "data")
    spec = small_spec(
        model={"path": str(whole / "model")}, training={"max_steps": 1, "evaluate_every": "epoch"}
    )
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    assert main(["run", str(tmp_path / "spec.json")]) == 0
