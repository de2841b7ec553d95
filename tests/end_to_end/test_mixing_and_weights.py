"""Mixed tasks and weighed rows in real runs of a tiny model: what is reported, what is trained, and resuming."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import mftkit
from mftkit.reporting.plan import Plan
from recorder import Recorder
from small_runs import comparable, metrics, rows, small_spec, write_rows

MIXING = {"proportions": {"big": 1, "small": 2}, "epoch_samples": 45}


class Planner(Recorder):
    """Keeps the plan, too."""

    plan: Plan

    def planned(self, plan: Plan) -> None:
        self.plan = plan


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two tasks; each third row of the smaller one has a weight."""
    write_rows(tmp_path / "data" / "big.jsonl", rows("big", 40))
    weighed = [
        {**row, "weight": (0, 2, 0.5)[i % 3]} if i % 2 else row for i, row in enumerate(rows("small", 12))
    ]
    write_rows(tmp_path / "data" / "small.jsonl", weighed)
    return tmp_path


def load(project: Path, output: str, **changes: Any) -> Any:
    training = {"epochs": 2, "batch_size": 6, "micro_batch_size": 3, "log_every": 1, "evaluate_every": 100}
    training |= {"checkpoint_every": 3, "keep_checkpoints": 9, **changes.pop("training", {})}
    made = small_spec(training=training, **{"max_length": 64, "output": output, "mixing": MIXING, **changes})
    for task in made["tasks"]:
        task["valid"] = 0.1
    return mftkit.load_spec(made, directory=project)


def trained(run: Path) -> list[dict[str, Any]]:
    return [line for line in metrics(run) if line["event"] == "train"]


def test_a_mixed_run_reports_its_counts_and_resumes_bit_for_bit(project: Path) -> None:
    listener = Planner()
    mftkit.run(load(project, "run"), reporter=listener)
    plan = listener.plan
    assert [(task.samples, task.drawn) for task in plan.tasks] == [(36, 15), (11, 30)]
    assert "small 2.73 times" in plan.mixing
    assert "21 of 36 of big" in plan.mixing
    assert any("small 6 of 11 rows" in note or "small 5 of 11 rows" in note for note in plan.notes)
    lines = trained(project / "run")
    assert len(lines) == plan.steps
    for epoch in (1, 2):
        of_epoch = [line for line in lines if epoch - 1 < line["epoch"] <= epoch]
        seen = {name: sum(line["tasks"][name]["samples"] for line in of_epoch) for name in ("big", "small")}
        assert seen == {"big": 15, "small": 30}

    stop = len(lines) // 2 + 2  # in the second epoch
    whole, run = project / "whole", project / "run"
    shutil.move(run, whole)
    shutil.copytree(whole, run)
    write_rows(run / "metrics.jsonl", [line for line in metrics(whole) if line["event"] != "end"])
    for step in (run / "checkpoints").iterdir():
        if int(step.name.removeprefix("step-")) > stop:
            shutil.rmtree(step)
    listener = Planner()
    mftkit.run(load(project, "run"), reporter=listener)
    assert any(note.startswith("resuming from step") for note in listener.notes)
    assert comparable(metrics(run)) == comparable(metrics(whole))
    mine, theirs = (load_file(each / "model" / "model.safetensors") for each in (run, whole))
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_weights_pull_and_are_not_reported(project: Path) -> None:
    """With all weights doubled the objective is twice as large, and nothing else of the first step differs."""
    for factor in (1, 2):
        lines = [json.loads(line) for line in (project / "data/small.jsonl").read_text().splitlines()]
        write_rows(project / "data" / f"{factor}.jsonl", [{**line, "weight": factor} for line in lines])
        spec = small_spec(training={"max_steps": 1, "log_every": 1, "batch_size": 8}, max_length=64)
        spec |= {"output": f"run{factor}", "tasks": [{"name": "small", "train": [f"data/{factor}.jsonl"]}]}
        mftkit.run(mftkit.load_spec(spec, directory=project))
    (one,), (two,) = trained(project / "run1"), trained(project / "run2")
    assert one["tasks"]["small"] == two["tasks"]["small"]
    assert two["loss"] == pytest.approx(2 * one["loss"], rel=1e-6)
    assert one["loss"] == pytest.approx(one["tasks"]["small"]["loss"], rel=1e-6)


def test_a_loss_that_does_not_read_weights_is_refused_with_them(project: Path, monkeypatch: Any) -> None:
    from mftkit_plugins.losses.token_balanced import TokenBalanced

    monkeypatch.setattr(TokenBalanced, "reads_sample_weights", False)
    with pytest.raises(mftkit.MftError) as caught:
        mftkit.run(load(project, "run"), dry_run=True)
    said = str(caught.value)
    assert said.startswith("loss: token-balanced does not read the weights of rows, but ")
    assert f"{project / 'data/small.jsonl'}:" in said
    assert '"sample-focal"' in said
    assert '"token-balanced"' not in said


def test_weights_that_are_all_0_are_reported(project: Path) -> None:
    write_rows(project / "data" / "small.jsonl", [{**row, "weight": 0} for row in rows("small", 12)])
    listener = Recorder()
    mftkit.run(load(project, "run"), dry_run=True, reporter=listener)
    assert "task small: all training rows have weight 0, so nothing is learned from them" in listener.warnings
    write_rows(project / "data" / "big.jsonl", [{**row, "weight": 0} for row in rows("big", 40)])
    with pytest.raises(mftkit.MftError, match="all training rows have weight 0, so nothing would be learned"):
        mftkit.run(load(project, "run"), dry_run=True)


def test_a_copy_that_can_be_seen_is_warned_of(project: Path) -> None:
    for attention, warned in (("isolated", False), ("shared", True)):
        pack = {"name": "pack", "options": {"attention": attention}}
        listener = Recorder()
        made = load(project, "run", tokenization=pack, max_length=192)
        mftkit.run(made, dry_run=True, reporter=listener)
        assert any("hold a sample twice" in warning for warning in listener.warnings) == warned
