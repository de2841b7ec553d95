"""Runs that train an adapter: learning, going on, and a result that needs no mftkit."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import mftkit
from commands import environment
from fixture_types import Install
from mftkit.plugins import installed
from mftkit.reporting.reporter import Reporter
from mftkit.tools.merge import merge
from small_runs import comparable, metrics, rows, small_spec, unfinished, write_rows

ADAPTER = {"rank": 8, "alpha": 64, "dropout": 0.1}


def adapter_spec(method: str, **changes: Any) -> Any:
    training = {
        "max_steps": 6, "learning_rate": 2e-2, "evaluate_every": 3, "keep_checkpoints": 9, "log_every": 1,
    } | changes.pop("training", {})  # fmt: skip
    return small_spec(
        tuning={"method": method, **ADAPTER, **changes.pop("tuning", {})}, training=training, **changes
    )


def start(project: Path, spec: Any, **options: Any) -> tuple[Path, Any]:
    outcome = mftkit.run(mftkit.load_spec(spec, directory=project), **options)
    return project / spec["output"], outcome


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tunings")
    write_rows(directory / "data" / "big.jsonl", rows("big", 120))
    write_rows(directory / "data" / "small.jsonl", rows("small", 40))
    return directory


@pytest.fixture
def project(data: Path, tmp_path: Path) -> Path:
    (tmp_path / "data").symlink_to(data / "data")
    return tmp_path


@pytest.fixture(scope="module")
def both(data: Path) -> dict[str, Path]:
    """A finished run of each method, its samples packed; tests copy or only look at them."""
    runs = {}
    for method in ("lora", "qlora"):
        runs[method], outcome = start(data, adapter_spec(method, output=method))
        assert outcome.reason == "finished"
    return runs


@pytest.fixture(params=["lora", "qlora"])
def finished(request: pytest.FixtureRequest, both: dict[str, Path]) -> Path:
    return both[request.param]


def falls(run: Path) -> Any:
    losses = [line["loss"] for line in metrics(run) if line["event"] == "valid"]
    return losses[-1] < losses[0] - 0.1


def test_it_learns_and_keeps_only_what_it_trained(finished: Path) -> None:
    assert falls(finished)
    names = {entry.name for entry in finished.iterdir() if not entry.name.startswith(".")}
    told = {"spec.json", "environment.json", "plan.json", "metrics.jsonl", "log.txt", "report.html"}
    assert names == {*told, "checkpoints", "tokenizer", "base", "best", "model"}
    config = json.loads((finished / "model" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(finished / "base")
    held = load_file(finished / "checkpoints" / "step-00000006" / "model.safetensors")
    assert held
    assert all("lora_" in name for name in held)
    adapter = load_file(finished / "model" / "adapter_model.safetensors")
    assert sorted(map(torch.sum, held.values())) == sorted(map(torch.sum, adapter.values())), (
        "the best step's"
    )


def test_from_python_the_result_is_the_model_with_its_adapter(finished: Path) -> None:
    model, tokenizer = mftkit.load_model(finished / "model")
    base, _ = mftkit.load_model(finished / "base")
    named, _ = mftkit.load_model(str(finished / "model"), adapter="llama")
    assert tokenizer is not None
    ids = tokenizer("big: sort a list", return_tensors="pt").input_ids
    with torch.no_grad():
        ours, plain, again = (each(input_ids=ids).logits for each in (model, base, named))
    assert not model.training
    assert torch.equal(ours, again)
    assert (ours - plain).abs().max() > 1e-3
    with pytest.raises(mftkit.MftError, match="qwen does not support model type 'llama'"):
        mftkit.load_model(finished / "model", adapter="qwen")


@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_it_learns_from_padded_rows_and_recomputed_activations(project: Path, method: str) -> None:
    losses = []
    for recomputed in (False, True):
        training = {"gradient_checkpointing": recomputed}
        spec = adapter_spec(
            method, tokenization="dynamic-padding", output=f"run-{recomputed}", training=training
        )
        run, _ = start(project, spec)
        assert falls(run)
        losses.append([line["loss"] for line in metrics(run) if line["event"] == "train"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.parametrize("keep", [(3,), ()], ids=["from-a-checkpoint", "from-the-base"])
def test_going_on_is_bit_for_bit(finished: Path, project: Path, keep: tuple[int, ...]) -> None:
    before = comparable(metrics(finished)), load_file(finished / "model" / "adapter_model.safetensors")
    kept = project / "kept"
    shutil.copytree(finished, kept)
    try:
        unfinished(finished, keep=keep)
        start(finished.parent, json.loads((finished / "spec.json").read_text()) | {"output": finished.name})
        assert comparable(metrics(finished)) == before[0]
        again = load_file(finished / "model" / "adapter_model.safetensors")
        assert all(torch.equal(again[name], value) for name, value in before[1].items())
    finally:
        shutil.rmtree(finished)
        shutil.move(kept, finished)


def test_another_base_is_refused_and_fresh_makes_it_anew(project: Path) -> None:
    spec = adapter_spec("lora", training={"max_steps": 3})
    run, _ = start(project, spec)
    weights = run / "base" / "model.safetensors"
    right = weights.read_bytes()
    unfinished(run, keep=(3,))
    weights.write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
    with pytest.raises(mftkit.MftError, match="differ from those with which .* started"):
        start(project, spec)
    start(project, spec, fresh=True)
    assert weights.read_bytes() == right
    assert not (run / ".base").exists()


def test_a_dry_run_touches_nothing_and_counts_what_is_trained(project: Path) -> None:
    plans = []

    class Planned(Reporter):
        def planned(self, plan: Any) -> None:
            plans.append((plan.parameters, plan.trainable))

    spec = adapter_spec("qlora", training={"max_steps": 1}, tuning={"targets": ["q_proj"]})
    start(project, spec, dry_run=True, reporter=Planned())
    assert not (project / "run").exists()
    start(project, spec, reporter=Planned())
    assert plans[0] == plans[1]
    assert plans[0][1] == 2 * 8 * (32 + 32)


PEFT_ALONE = """
import sys, torch
from peft import AutoPeftModelForCausalLM
from transformers import AutoModelForCausalLM, AutoTokenizer

def check(adapter, merged):
    tokenizer = AutoTokenizer.from_pretrained(adapter)
    turns = [{'role': 'user', 'content': 'big: sort a list (0)'}]
    ids = tokenizer.apply_chat_template(turns, return_dict=True, return_tensors='pt')['input_ids']
    assert ids.equal(AutoTokenizer.from_pretrained(merged).apply_chat_template(
        turns, return_dict=True, return_tensors='pt')['input_ids'])
    tuned = AutoPeftModelForCausalLM.from_pretrained(adapter).eval()
    whole = AutoModelForCausalLM.from_pretrained(merged).eval()
    with torch.no_grad():
        one, other = tuned(input_ids=ids).logits, whole(input_ids=ids).logits
        with tuned.disable_adapter():
            assert (one - tuned(input_ids=ids).logits).abs().max() > 0.01
    assert (one - other).abs().max() < 1e-5, adapter

for pair in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
    check(*pair)
assert not [name for name in sys.modules if name.startswith('mftkit')]
"""


def test_the_adapters_load_with_peft_alone_and_merge_to_the_same_logits(
    both: dict[str, Path], project: Path
) -> None:
    pairs = []
    for method, run in both.items():
        merged = merge(run, project / f"merged-{method}")
        assert merged.difference < 1e-5
        assert merged.largest > 0.1
        pairs += [str(run / "model"), str(project / f"merged-{method}")]
    done = subprocess.run(
        [sys.executable, "-c", PEFT_ALONE, *pairs],
        capture_output=True, text=True, env=environment(), check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("lora", [{"use_dora": True}, {"use_rslora": True, "modules_to_save": ["lm_head"]}])
def test_variants_train_and_merge(project: Path, lora: Any) -> None:
    run, _ = start(project, adapter_spec("lora", tuning={"lora": lora}))
    assert falls(run)
    merged = merge(run, project / "merged")
    assert merged.difference < 1e-4 * merged.largest


def test_a_pretrained_base_is_named_and_not_copied(finished: Path, project: Path) -> None:
    spec = adapter_spec("lora", training={"max_steps": 1}) | {"model": {"path": str(finished / "base")}}
    run, _ = start(project, spec)
    assert not (run / "base").exists()
    config = json.loads((run / "model" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(finished / "base")


STRANGER = """
import mftkit

@mftkit.hookimpl
def register_tunings(register):
    register("norms", Norms, summary="trains norms alone")

class Norms(mftkit.Tuning):
    class Options(mftkit.Options):
        which: str = "norm"

    def apply(self, model, adapter):
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(self.options.which in name)
        return model

    def base_model(self, model):
        return model

    def state_dict(self, model):
        return {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}

    def load_state_dict(self, model, state):
        model.load_state_dict(state, strict=False)

    def export(self, model, directory, base):
        model.save_pretrained(directory)
"""


def test_a_strangers_tuning_trains(project: Path, install: Install) -> None:
    install("mft-norms", {"norms": "mft_norms"}, {"mft_norms": STRANGER})
    installed.registry.cache_clear()
    try:
        spec = small_spec(tuning={"method": "norms", "which": "input_layernorm"}, training={"max_steps": 4})
        run, _ = start(project, spec)
    finally:
        installed.registry.cache_clear()
    losses = [line["loss"] for line in metrics(run) if line["event"] == "valid"]
    assert losses[-1] < losses[0]
    assert set(load_file(run / "checkpoints" / "step-00000004" / "model.safetensors")) == {
        f"model.layers.{i}.input_layernorm.weight" for i in range(2)
    }
    model, _ = mftkit.load_model(run / "model")
    assert model.model.layers[0].post_attention_layernorm.weight.eq(1).all()
    assert model.model.layers[0].input_layernorm.weight.ne(1).any()
