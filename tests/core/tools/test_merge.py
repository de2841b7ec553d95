"""What is merged, and what is refused; runs' adapters are merged in tests/end_to_end/test_tunings.py."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

import mftkit
from mftkit.base.quiet import without_peft_noise
from mftkit.cli import main
from mftkit.models.saving import unwrapped
from mftkit.reporting.reporter import Reporter
from mftkit.tools.merge import merge

TINY = {
    "vocab_size": 48, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "bos_token_id": None, "eos_token_id": 0,
}  # fmt: skip


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """An adapter of random numbers over a base beside it: ``make(config, **base's config)``; its directory."""

    def made(config: Any, dtype: torch.dtype = torch.float32, **changes: Any) -> Path:
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(
            AutoConfig.for_model("llama", **TINY, **changes), dtype=dtype
        )
        with unwrapped():
            model.save_pretrained(tmp_path / "base")
        with without_peft_noise():
            tuned = peft.get_peft_model(model, config)
        for parameter in tuned.parameters():
            if parameter.requires_grad:
                parameter.data.normal_(std=0.1)
        tuned.peft_config["default"].base_model_name_or_path = str(tmp_path / "base")
        tuned.save_pretrained(str(tmp_path / "adapter"))
        return tmp_path / "adapter"

    return made


def lora(**options: Any) -> Any:
    return peft.LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj", "down_proj"], **options)


def test_the_base_keeps_its_dtype_and_the_command_reports_the_difference(
    make: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adapter = make(lora(), torch.bfloat16)
    assert main(["merge", str(adapter), "--output", str(tmp_path / "new" / "merged")]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{tmp_path / 'new' / 'merged'}\n"
    assert "largest difference of a logit before and after: " in printed.err
    model, tokenizer = mftkit.load_model(str(tmp_path / "new" / "merged"))
    assert (model.dtype, tokenizer) == (torch.bfloat16, None)
    changed = [
        name
        for (name, one), other in zip(
            AutoModelForCausalLM.from_pretrained(tmp_path / "base").named_parameters(),
            model.parameters(),
            strict=True,
        )
        if not torch.equal(one, other)
    ]
    assert changed == ["model.layers.0.self_attn.q_proj.weight", "model.layers.0.mlp.down_proj.weight"]
    assert [entry.name for entry in (tmp_path / "new").iterdir()] == ["merged"]


def test_generation_settings_that_contradict_each_other_do_not_keep_a_result(
    make: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adapter = make(lora())
    (tmp_path / "base" / "generation_config.json").write_text(
        '{"temperature": 0.8, "top_p": 0.8, "eos_token_id": 0}'
    )
    assert main(["merge", str(adapter), "--output", str(tmp_path / "merged")]) == 0
    assert "warning: the base model's generation settings contradict each other" in capsys.readouterr().err
    written = json.loads((tmp_path / "merged" / "generation_config.json").read_text())
    assert (written["eos_token_id"], "temperature" in written) == (0, False)


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
def test_a_trained_head_of_a_tied_model_is_a_head_of_its_own(
    make: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = make(lora(modules_to_save=["lm_head"]), tie_word_embeddings=True)
    notes: list[str] = []
    reporter = Reporter()
    monkeypatch.setattr(reporter, "note", notes.append)
    merged = merge(adapter, tmp_path / "merged", reporter)
    assert merged.difference < 1e-4 * merged.largest
    assert "no longer tied" in notes[-1]
    assert json.loads((tmp_path / "merged" / "config.json").read_text())["tie_word_embeddings"] is False


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4),
            "an adapter of type PROMPT_TUNING cannot be merged: it changes no weights",
        ),
        (
            peft.PolyConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj"], n_tasks=2, n_skills=2),
            "this adapter of type POLY cannot be merged",
        ),
    ],
    ids=["prompt", "poly"],
)
def test_what_cannot_be_merged_is_refused_by_name(
    make: Callable[..., Path], tmp_path: Path, config: Any, message: str
) -> None:
    adapter = make(config)
    with pytest.raises(mftkit.MftError, match=message):
        merge(adapter, tmp_path / "merged")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["adapter", "base"]


def test_a_merge_that_loses_something_leaves_nothing(
    make: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = make(lora())
    monkeypatch.setattr(
        "peft.tuners.lora.layer.Linear.get_delta_weight", lambda self, _adapter: self.weight * 0.5
    )
    with pytest.raises(mftkit.MftError, match="cannot be merged without loss, and nothing was written"):
        merge(adapter, tmp_path / "merged")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["adapter", "base"]


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_the_base_must_be_there_and_whole(make: Callable[..., Path], tmp_path: Path) -> None:
    adapter = make(lora())
    edit(tmp_path / "base" / "config.json", quantization_config={"quant_method": "bitsandbytes"})
    with pytest.raises(
        mftkit.MftError, match="is itself quantized: merging needs its full-precision weights"
    ):
        merge(adapter, tmp_path / "merged")
    edit(adapter / "adapter_config.json", base_model_name_or_path=str(tmp_path / "gone"))
    with pytest.raises(mftkit.MftError, match="cannot load the base model named by .*adapter: .*gone"):
        merge(adapter, tmp_path / "merged")
    edit(adapter / "adapter_config.json", base_model_name_or_path=None)
    with pytest.raises(mftkit.MftError, match="names no base model: set base_model_name_or_path"):
        merge(adapter, tmp_path / "merged")


def test_a_run_that_was_moved_finds_its_own_base(make: Callable[..., Path], tmp_path: Path) -> None:
    adapter = make(lora())
    run = tmp_path / "run"
    run.mkdir()
    (run / "spec.json").write_text(json.dumps({"model": {"adapter": "auto", "trust_remote_code": False}}))
    adapter.rename(run / "model")
    (tmp_path / "base").rename(run / "base")
    for given in (run, run / "model"):
        for output in (run / "model" / "x", run / "base" / "x"):
            with pytest.raises(mftkit.MftError, match="which must not change; give another directory"):
                merge(given, output)
    assert merge(run, run / "merged").base == str(run / "base")


def test_where_there_is_nothing_to_merge_it_says_why(tmp_path: Path) -> None:
    output, run = tmp_path / "merged", tmp_path / "run"
    with pytest.raises(mftkit.MftError, match="there is no directory"):
        merge(run, output)
    run.mkdir()
    with pytest.raises(mftkit.MftError, match="neither a run directory nor a PEFT adapter"):
        merge(run, output)
    (run / "spec.json").write_text("{}")
    with pytest.raises(mftkit.MftError, match="has neither model/ nor a checkpoint yet; let it train first"):
        merge(run, output)
    (run / "model").mkdir()
    (run / "model" / "config.json").write_text("{}")
    for given in (run, run / "model"):
        with pytest.raises(mftkit.MftError, match="nothing to merge: .*model is already a full model"):
            merge(given, output)


def test_an_output_with_something_in_it_is_left_alone(make: Callable[..., Path], tmp_path: Path) -> None:
    adapter, output = make(lora()), tmp_path / "merged"
    output.mkdir()
    (output / "notes.txt").write_text("mine")
    with pytest.raises(mftkit.MftError, match="exists and is not empty"):
        merge(adapter, output)
    (output / "notes.txt").unlink()
    assert merge(adapter, output).path == output
