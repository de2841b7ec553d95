"""Results are read back after they are written: in the base's dtype, and refused if they are not what was trained."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AutoPeftModelForCausalLM
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

import mftkit
from checkpoints import CHECKPOINTS, WITH_TOKENIZER
from fixture_types import Install
from forked import mft_forked
from mftkit.cli import main
from mftkit.data.tokens.train_tokenizer import train_bpe
from mftkit.reporting.outcome import Outcome
from mftkit.training.read_back import ReadBack
from mftkit_plugins.tunings.full import Full
from mftkit_plugins.tunings.lora import Lora
from small_runs import metrics, rows, small_spec, write_rows

SHAPE = {
    "vocab_size": 300, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 128, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
LORA = {"method": "lora", "rank": 4, "alpha": 16}
Change = Callable[[dict[str, torch.Tensor]], None]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory with the data of two tasks: no more rows than the four steps of a run read."""
    write_rows(tmp_path / "data" / "big.jsonl", rows("big", 110))
    write_rows(tmp_path / "data" / "small.jsonl", rows("small", 30))
    return tmp_path


def base(project: Path, dtype: torch.dtype = torch.float32, family: str = "llama", **changes: Any) -> Path:
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **(SHAPE | changes))
    AutoModelForCausalLM.from_config(config, dtype=dtype).save_pretrained(project / "base")
    train_bpe(["def sort(value): return sort(value)"] * 9, 300).save_pretrained(project / "base")
    return project / "base"


def spec(**changes: Any) -> dict[str, Any]:
    training = {"max_steps": 4, "evaluate_every": 2, "checkpoint_every": 2, "learning_rate": 1e-2}
    model = {"path": "base"} | changes.pop("model", {})
    return small_spec(model=model, training=training | changes.pop("training", {}), **changes)


def train(project: Path, given: dict[str, Any]) -> Outcome:
    return mftkit.run(mftkit.load_spec(given, directory=project))


def plan_notes(project: Path) -> list[str]:
    notes: list[str] = json.loads((project / "run" / "plan.json").read_text())["notes"]
    return notes


def stored(directory: Path) -> set[torch.dtype]:
    return {tensor.dtype for tensor in load_file(directory / "model.safetensors").values()}


@pytest.mark.parametrize(
    ("dtype", "asked", "written"),
    [
        (torch.bfloat16, "auto", torch.bfloat16),
        (torch.float16, "auto", torch.float16),
        (torch.float32, "auto", torch.float32),
        (torch.bfloat16, "float32", torch.float32),
        (torch.bfloat16, "float64", torch.float64),
    ],
)
def test_a_result_has_the_dtype_of_its_base_unless_the_spec_names_another(
    project: Path, dtype: torch.dtype, asked: str, written: torch.dtype
) -> None:
    base(project, dtype, tie_word_embeddings=dtype == torch.float16)
    given = spec(model={"dtype": asked}, training={"best_per_task": True})
    assert train(project, given).reason == "finished"
    results = [project / "run" / "model", *(p for p in (project / "run" / "best").iterdir() if p.is_dir())]
    for result in results:
        assert stored(result) == {written}
        assert json.loads((result / "config.json").read_text())["dtype"] == str(written)[6:]
    name, source = str(written)[6:], "the dtype of its base" if asked == "auto" else "as model.dtype asks"
    assert any(f"the result is written in {name}, {source}" in note for note in plan_notes(project))


def test_rounding_once_is_all_that_a_narrower_result_loses(project: Path) -> None:
    base(project, torch.bfloat16)
    train(project, spec() | {"output": "narrow"})
    train(project, spec(model={"dtype": "float32"}) | {"output": "wide"})
    narrow, wide = (load_file(project / name / "model" / "model.safetensors") for name in ("narrow", "wide"))
    assert all(torch.equal(narrow[key], tensor.bfloat16()) for key, tensor in wide.items())


def test_weights_that_a_narrower_dtype_cannot_hold_are_a_failed_run(project: Path) -> None:
    base(project, torch.float16)
    grown: list[bool] = []
    plain = Full.apply

    def grow(self: Full, model: Any, adapter: mftkit.ModelAdapter) -> nn.Module:
        found = plain(self, model, adapter)
        if not grown:
            model.lm_head.weight.data.mul_(1e8)
            grown.append(True)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Full, "apply", grow)
        outcome = train(project, spec(training={"max_grad_norm": 1e-9}))
    assert outcome.reason == "failed"
    assert "the trained weights cannot be written in float16, the dtype of the base" in str(outcome.error)
    assert not (project / "run" / "model").exists()


def spoil(
    patch: pytest.MonkeyPatch, kind: type[Full | Lora], file: str, change: Change, where: str = ""
) -> None:
    """Make a tuning's export write something else, in directories whose path contains ``where``."""
    plain = kind.export

    def export(self: Any, model: nn.Module, directory: Path, base: str | None) -> None:
        plain(self, model, directory, base)
        if where in str(directory):
            tensors = load_file(directory / file)
            change(tensors)
            save_file(tensors, directory / file, metadata={"format": "pt"})

    patch.setattr(kind, "export", export)


def drop(name: str) -> Change:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        for key in [key for key in tensors if name in key]:
            del tensors[key]

    return change


def scale(name: str, factor: float) -> Change:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        for key in [key for key in tensors if name in key]:
            tensors[key].mul_(factor)

    return change


FULL, ADAPTER = "model.safetensors", "adapter_model.safetensors"


@pytest.mark.parametrize(
    ("kind", "file", "change", "where", "message"),
    [
        (
            Full,
            FULL,
            drop("lm_head"),
            "",
            "model was written, and cannot be loaded: .*lacks weights .*lm_head.weight",
        ),
        (
            Full,
            FULL,
            scale("layers.1.mlp.up_proj", 1.01),
            "",
            "model .* is not what was trained: its logits differ",
        ),
        (Lora, ADAPTER, drop("layers.0.self_attn.q_proj.lora_B"), "", "model was written, and"),
        (
            Lora,
            ADAPTER,
            scale("layers.1.self_attn.v_proj.lora_A", 1.001),
            "",
            "v_proj.lora_A.weight has other numbers",
        ),
        (Lora, ADAPTER, scale("lora_B", 0.0), "best", "best/step-00000002 .* is not what was trained"),
    ],
)
def test_a_result_that_is_not_what_was_trained_is_a_failed_run_that_keeps_its_checkpoint(
    project: Path,
    capsys: pytest.CaptureFixture[str],
    kind: type[Full | Lora],
    file: str,
    change: Change,
    where: str,
    message: str,
    losses: Any,
) -> None:
    losses((9.0, 9.0), (2.0, 8.0), (3.0, 2.0))
    base(project)
    given = spec(tuning=LORA if kind is Lora else "full", training={"best_per_task": True})
    (project / "spec.json").write_text(json.dumps(given))
    with pytest.MonkeyPatch.context() as patch:
        spoil(patch, kind, file, change, where)
        assert main(["run", str(project / "spec.json")]) == 1
    run, printed = project / "run", capsys.readouterr().err
    end = metrics(run)[-1]
    assert end["reason"] == "failed"
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(end["error"].replace("\n", " "))
    assert "the checkpoint of step 4 is kept" in end["error"]
    assert "Traceback" not in printed
    assert end["error"] in " ".join(printed.split()) or end["error"][:60] in printed
    assert not (run / "model").exists()
    assert not (run / "best").exists()
    assert not list(run.glob(".*.partial"))
    assert sorted(p.name for p in (run / "checkpoints").iterdir())[-1] == "step-00000004"
    # The same command writes the result from the checkpoint once the fault is gone.
    assert main(["run", str(project / "spec.json")]) == 0
    assert (run / "model" / file).is_file()
    assert metrics(run)[-1]["reason"] == "finished"


@pytest.mark.parametrize("tuning", ["full", LORA, {**LORA, "method": "qlora"}], ids=["full", "lora", "qlora"])
@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("llama", {"tie_word_embeddings": True}),
        (
            "mixtral",
            {"num_local_experts": 4, "hidden_size": 64, "intermediate_size": 64, "num_key_value_heads": 2},
        ),
        ("gemma3_text", {"head_dim": 8, "sliding_window": 16}),
        ("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 96, "hidden_size": 32}),
    ],
)
def test_results_of_many_kinds_are_what_was_trained(
    project: Path, family: str, changes: dict[str, Any], tuning: Any
) -> None:
    if isinstance(tuning, dict) and tuning["method"] == "qlora" and family != "llama":
        pytest.skip("sizes that no kernel for 4 bits takes")
    base(project, torch.bfloat16, family, **changes)
    outcome = train(project, spec(tuning=tuning, training={"max_steps": 2, "evaluate_every": 1}))
    assert (outcome.reason, outcome.error) == ("finished", None)


EMBEDDINGS = [
    {"targets": ["q_proj", "embed_tokens"]},
    {"targets": ["q_proj", "lm_head"], "dropout": 0},
    {"targets": ["q_proj"], "lora": {"modules_to_save": ["embed_tokens", "lm_head"]}},
    {"targets": ["q_proj"], "lora": {"trainable_token_indices": [5, 6, 7, 40]}},
]


@pytest.mark.parametrize("mode", ["pack", "dynamic-padding"])
@pytest.mark.parametrize("options", EMBEDDINGS)
def test_adapters_on_embeddings_train_and_are_read_back(project: Path, options: Any, mode: str) -> None:
    directory = base(project, torch.bfloat16)
    outcome = train(project, spec(tuning={**LORA, **options}, tokenization=mode))
    assert (outcome.reason, outcome.error) == ("finished", None)
    losses = [line["loss"] for line in metrics(project / "run") if line["event"] == "valid"]
    assert losses[-1] < losses[0]
    with mftkit.without_peft_noise():
        loaded = AutoPeftModelForCausalLM.from_pretrained(project / "run" / "model")
    assert loaded.peft_config["default"].base_model_name_or_path == str(directory)


@pytest.mark.parametrize("tuning", ["full", LORA], ids=["full", "lora"])
@pytest.mark.parametrize("name", WITH_TOKENIZER)
def test_results_of_converted_families_are_read_back(project: Path, name: str, tuning: Any) -> None:
    shutil.copytree(CHECKPOINTS / name, project / "base")
    outcome = train(project, spec(tuning=tuning, training={"max_steps": 1, "evaluate_every": 1}))
    assert (outcome.reason, outcome.error) == ("finished", None)


def test_the_base_of_several_adapters_is_read_once(project: Path, losses: Any) -> None:
    losses((9.0, 9.0), (2.0, 8.0), (5.0, 5.0), (6.0, 2.0), (3.0, 4.0))
    base(project)
    read: list[object] = []
    plain = ReadBack._base

    def count(self: ReadBack) -> Any:
        read.append(None)
        return plain(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ReadBack, "_base", count)
        outcome = train(project, spec(tuning=LORA, training={"evaluate_every": 1}))
    assert (outcome.reason, outcome.error) == ("finished", None)
    assert len({p.name for p in (project / "run" / "best").iterdir() if p.is_dir()}) >= 2
    assert len(read) == 1


SPOILED = """
import mftkit
from mftkit_plugins.tunings.full import Full
from safetensors.torch import load_file, save_file

@mftkit.hookimpl
def register_tunings(register):
    register("spoiled", Spoiled, summary="writes other numbers than it trained")

class Spoiled(Full):
    def export(self, model, directory, base):
        super().export(model, directory, base)
        tensors = load_file(directory / "model.safetensors")
        tensors["model.norm.weight"].mul_(1.5)
        save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
"""


@pytest.mark.long
def test_a_strangers_fault_is_found_by_the_one_process_that_writes(project: Path, install: Install) -> None:
    site = install("mft-spoiled", {"spoiled": "mft_spoiled"}, {"mft_spoiled": SPOILED})
    (project / "spec.json").write_text(json.dumps(small_spec(tuning="spoiled", training={"max_steps": 2})))
    done = mft_forked("run", "spec.json", "--processes", "2", cwd=project, sites=(site,))
    assert done.returncode == 1
    assert "model was written, and is not what was trained: its logits differ" in done.stderr
    assert "Fix the tuning Spoiled" in done.stderr
    assert "mft-spoiled" in done.stderr
    assert metrics(project / "run")[-1]["reason"] == "failed"
    assert not (project / "run" / "model").exists()
