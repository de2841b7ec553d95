"""The default tokenization packs where a model isolates; others train one sample per row, and lose nothing by it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from packaging.version import Version
from torch.nn.functional import cross_entropy

import mftkit
from mftkit.plugins import installed, kinds
from mftkit.reporting.reporter import Reporter
from mftkit.spec import Spec
from mftkit.training import setup
from mftkit.training.setup import build_run, check_run, plan_run
from small_runs import rows, small_spec, write_rows

BAMBA = {
    "model_type": "bamba", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "attn_layer_indices": [1], "mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 16,
    "max_position_embeddings": 128,
}  # fmt: skip
"""Of a family that leaks and that no adapter names."""
LACKS_ROUTERS = Version(transformers.__version__) < Version("5.18")
LEAKING = (
    "qwen", "gpt-oss", "nemotron", "kimi", "deepseek-v4",
    pytest.param("granite", marks=pytest.mark.skipif(LACKS_ROUTERS, reason="its routers' choices need 5.18")),
)  # fmt: skip


def leaking(adapter: str) -> dict[str, Any]:
    families = installed.build(kinds.MODEL_ADAPTER, adapter, {}).families
    config = dict(next(family.config for family in families if family.leaks))
    return {
        key: value for key, value in config.items() if not key.endswith("_token_id") and key != "vocab_size"
    }


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for task in ("big", "small"):
        write_rows(tmp_path / "data" / f"{task}.jsonl", rows(task, 40))
    return tmp_path


def spec_of(project: Path, config: dict[str, Any], **changes: Any) -> Spec:
    model = {"init": "random", "config": config, "tokenizer": {"train_bpe": 400}}
    return mftkit.load_spec(small_spec(model=model, **changes), directory=project)


@pytest.mark.parametrize("adapter", LEAKING)
def test_a_family_that_leaks_trains_as_with_one_sample_per_row(adapter: str, project: Path) -> None:
    checked = check_run(spec_of(project, leaking(adapter)), Reporter())
    assert checked.mode_choice.describe().startswith(
        "tokenization auto: rows of one sample, grouped by length: "
    )
    run = build_run(checked)
    layout = checked.sampler.layout(0)
    assert len(layout.offsets) == len(layout.samples) + 1
    members = layout.samples[:2].tolist()
    batch = run.batcher.batch(checked.corpus.train, [[i] for i in members], checked.mode.collate)
    run.model.eval()
    found = -run.logprob_model(batch)[0].detach()
    expected = []
    for index in members:
        sample = checked.corpus.train[index]
        ids = torch.tensor(sample.tokens, dtype=torch.int64)
        with torch.no_grad():
            logits = run.model(input_ids=ids[None], use_cache=False).logits[0, :-1].float()
        counted = torch.tensor(sample.loss_mask[1:])
        expected.append(cross_entropy(logits, ids[1:], reduction="none")[counted])
    assert torch.allclose(found, torch.cat(expected), atol=2e-5)


def test_a_family_that_no_adapter_names_is_tried_once_it_is_loaded(project: Path) -> None:
    spec = spec_of(project, BAMBA, training={"epochs": 1, "max_steps": 2, "checkpoint_every": 2})
    checked = check_run(spec, Reporter())
    line = "tokenization auto: samples are packed and kept apart (a run tries this once the model is loaded)"
    assert line in plan_run(checked).notes
    mftkit.run(spec)
    planned = json.loads((spec.output / "plan.json").read_text("utf-8"))
    reason = "BambaForCausalLM: with attention sdpa, samples of one row see each other"
    assert f"tokenization auto: rows of one sample, grouped by length: {reason}" in planned["notes"]
    assert (
        planned["rows"] == sum(task["samples"] for task in planned["tasks"]) > checked.sampler.rows_per_epoch
    )
    environment = spec.output / "environment.json"
    recorded = json.loads(environment.read_text("utf-8"))
    assert recorded["tokenization"] == {
        "name": "auto", "rows": "rows of one sample, grouped by length", "isolates": False, "reason": reason,
    }  # fmt: skip
    resumed = check_run(spec, Reporter())
    assert resumed.mode_choice.reason == reason
    assert resumed.sampler.total == planned["steps"]
    recorded["tokenization"]["isolates"] = True
    environment.write_text(json.dumps(recorded), "utf-8")
    with pytest.raises(
        mftkit.MftError, match="was begun with packed samples kept apart, and now they are not"
    ):
        build_run(check_run(spec, Reporter()))


def test_a_model_that_isolates_gets_the_rows_of_pack(project: Path) -> None:
    auto, pack = (
        build_run(check_run(mftkit.load_spec(small_spec(**named), directory=project), Reporter()))
        for named in ({}, {"tokenization": "pack"})
    )
    assert auto.checked.spec.tokenization.name == "auto"
    for epoch in (0, 1):
        one, other = (run.checked.sampler.layout(epoch) for run in (auto, pack))
        assert one.samples.tolist() == other.samples.tolist()
        assert one.offsets.tolist() == other.offsets.tolist()
    assert "tokenization auto: samples are packed and kept apart" in auto.plan.notes
    assert not any(note.startswith("tokenization") for note in pack.plan.notes)


def test_a_mode_that_is_named_is_refused_for_a_model_that_leaks(project: Path) -> None:
    checked = check_run(spec_of(project, leaking("qwen"), tokenization="pack"), Reporter())
    with pytest.raises(
        mftkit.MftError, match=r"puts one sample in each row \(auto, dynamic-padding, padding\)"
    ):
        build_run(checked)


def test_an_attention_that_is_not_known_to_isolate_needs_no_packing(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup, "check_flex", lambda *_: None)  # as on a GPU
    spec = mftkit.load_spec(small_spec(), directory=project)
    model = spec.model.model_copy(update={"attention": "flex_attention"})
    choice = check_run(spec.model_copy(update={"model": model}), Reporter()).mode_choice
    assert choice.reason == "attention flex_attention is not known to keep packed samples apart"
