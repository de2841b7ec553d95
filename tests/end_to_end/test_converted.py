"""Runs from checkpoints in a family's own layout: their results need neither mftkit nor the original.

Each family's conversion is compared with the original in tests/plugins/models; here are complete runs, one per kind of
result.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

import mftkit
from checkpoints import CHECKPOINTS, FAMILIES
from mftkit.base.quiet import without_peft_noise
from mftkit.reporting.reporter import Reporter
from mftkit.tools.merge import merge
from small_runs import metrics, rows, small_spec, write_rows

IDS = (torch.arange(40) * 7 + 3).view(2, 20)
RUNS = [("chatglm2", "full"), ("baichuan2-13b", "lora")]
"""A full model that plain transformers loads, and an adapter with ALiBi on a base of the run's own."""


class Recorder(Reporter):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def note(self, message: str) -> None:
        self.messages.append(message)

    warn = note


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("converted")
    write_rows(directory / "data" / "big.jsonl", rows("big", 24))
    write_rows(directory / "data" / "small.jsonl", rows("small", 12))
    return directory


def spec_of(family: str, method: str, output: str) -> dict[str, Any]:
    training = {
        "max_steps": 2, "evaluate_every": 2, "checkpoint_every": 2, "learning_rate": 1e-2, "warmup": 0,
    }  # fmt: skip
    model = {"path": str(CHECKPOINTS / family)}
    if family in ("baichuan-7b", "aquila2"):  # these have no tokenizer
        model["tokenizer"] = str(CHECKPOINTS / "baichuan2-7b")
    tuning = {"method": method} | ({} if method == "full" else {"rank": 4})
    return small_spec(output=output, model=model, tuning=tuning, training=training, max_length=160)


def trained(project: Path, family: str, method: str) -> tuple[Path, list[str]]:
    spec = spec_of(family, method, f"{family}-{method}")
    reporter = Recorder()
    outcome = mftkit.run(mftkit.load_spec(spec, directory=project), reporter=reporter)
    assert outcome.reason == "finished"
    run: Path = project / spec["output"]
    losses = [line["loss"] for line in metrics(run) if line["event"] == "valid"]
    assert losses[-1] < losses[0] - 0.05
    return run, reporter.messages


def logits(model: Any) -> Any:
    model.eval()
    with torch.no_grad():
        return model(input_ids=IDS).logits


def check_result(run: Path, family: str, method: str) -> Any:
    """Check that it loads without mftkit, with the same logits; with ALiBi, in mftkit only."""
    plain: Any
    ours: Any
    if method == "full":
        plain, ours = AutoModelForCausalLM.from_pretrained(run / "model"), mftkit.load_model(run / "model")[0]
        assert json.loads((run / "model" / "config.json").read_text())["architectures"] == [FAMILIES[family]]
    else:
        named = json.loads((run / "model" / "adapter_config.json").read_text())["base_model_name_or_path"]
        assert named == str(run / "base")
        with without_peft_noise():
            plain = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(named), run / "model")
            ours = PeftModel.from_pretrained(mftkit.load_model(named)[0], run / "model")
    if family == "baichuan2-13b":
        assert (logits(plain) - logits(ours)).abs().max() > 0.1
    else:
        assert torch.equal(logits(plain), logits(ours))
    return ours


def check_messages(family: str, messages: list[str]) -> None:
    model_type = json.loads((CHECKPOINTS / family / "config.json").read_text())["model_type"]
    note = f"model type {model_type} is converted to {FAMILIES[family]} on load; none of its own code is run"
    assert note in messages
    assert any("max_length 160" in message for message in messages) == (family == "qwen1")


@pytest.mark.parametrize(("family", "method"), RUNS)
def test_it_trains_on_packed_rows_and_the_result_loads(project: Path, family: str, method: str) -> None:
    run, messages = trained(project, family, method)
    check_messages(family, messages)
    ours = check_result(run, family, method)
    assert (run / "base").exists() == (method != "full")
    tokenizer: Any = AutoTokenizer.from_pretrained(run / "model")
    prompt = tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], add_generation_prompt=True)
    made = ours.generate(torch.tensor([prompt["input_ids"]]), max_new_tokens=3, do_sample=False)
    assert made.shape[1] > len(prompt["input_ids"])
    if method != "full":
        merged = merge(run, project / f"{family}-merged")
        assert merged.base == str(run / "base")
        assert merged.difference < 1e-4
        full, _ = mftkit.load_model(merged.path)
        assert (logits(full) - logits(ours)).abs().max() < 1e-4


@pytest.mark.parametrize("family", ["chatglm2", "qwen1", "baichuan2-13b"])
def test_a_dry_run_reports_the_conversion_and_writes_nothing(project: Path, family: str) -> None:
    spec = spec_of(family, "lora", f"{family}-dry")
    reporter = Recorder()
    assert (
        mftkit.run(mftkit.load_spec(spec, directory=project), dry_run=True, reporter=reporter).reason
        == "planned"
    )
    assert not (project / spec["output"]).exists()
    check_messages(family, reporter.messages)


def test_a_model_adapter_named_in_the_spec_resumes_on_the_runs_own_base(project: Path) -> None:
    """The native base is a Llama; the adapter recognizes what it was converted from."""
    spec = spec_of("baichuan2-7b", "lora", "by-name")
    spec["model"]["adapter"] = "baichuan"
    mftkit.run(mftkit.load_spec(spec, directory=project))
    shutil.rmtree(project / "by-name" / "model")
    (project / "by-name" / "metrics.jsonl").write_text("")
    assert mftkit.run(mftkit.load_spec(spec, directory=project)).reason == "finished"
    assert merge(project / "by-name", project / "by-name-merged").difference < 1e-4
