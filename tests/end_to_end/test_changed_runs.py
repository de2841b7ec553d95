"""Runs that are changed on the way: smaller micro-batches, a later end, another place, a start from step 0 again.

Real runs of a tiny model. Where validation losses have to take a certain turn, they are a script's.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import mftkit
from mftkit.training.train_step import TrainStep
from recorder import Recorder
from small_runs import comparable, metrics, rows, small_spec, write_rows

SHORT = {"max_steps": 3, "batch_size": 4, "micro_batch_size": 4, "evaluate_every": 2, "log_every": 2}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data of two tasks."""
    directory = tmp_path_factory.mktemp("changed")
    for task, count in (("big", 40), ("small", 20)):
        write_rows(directory / "data" / f"{task}.jsonl", rows(task, count))
    return directory


def spec(project: Path, output: str | Path, training: dict[str, Any] | None = None, **changes: Any) -> Any:
    usual = {**SHORT, "scheduler": "constant", "warmup": 0, "checkpoint_every": ["epoch", "20 min"]}
    made = small_spec(output=str(output), max_length=48, training=usual | (training or {}), **changes)
    return mftkit.load_spec(made, directory=project)


@pytest.fixture(scope="module")
def finished(project: Path) -> Path:
    """A finished run of three steps, whose last step ends no window of ``log_every``."""
    return Path(mftkit_run(spec(project, "finished")))


def mftkit_run(of: Any) -> Path:
    assert mftkit.run(of).reason == "finished"
    return Path(of.output)


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run at another place."""
    return Path(shutil.copytree(finished, tmp_path / "copied"))


def tensors(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model" / "model.safetensors")


def cut_short(run: Path, *, checkpoints: bool = True) -> None:
    """Leave a run as a kill before its end would have."""
    lines = [line for line in metrics(run) if line["event"] != "end"]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if not checkpoints:
        shutil.rmtree(run / "checkpoints")


def test_an_extension_of_a_copy_equals_the_longer_run(project: Path, copied: Path) -> None:
    longer = mftkit_run(spec(project, "longer", {"max_steps": 6}))
    environment = json.loads((copied / "environment.json").read_text())
    environment["packages"]["torch"] = "0.1"
    environment["components"].insert(0, {"kind": "tracker", "name": "x", "distribution": "x", "version": "1"})
    (copied / "environment.json").write_text(json.dumps(environment))
    assert mftkit.load_spec(copied).output == copied
    heard = Recorder()
    extended = mftkit.load_spec(copied, ["training.max_steps=6", "name=renamed", "trackers=[]"])
    assert mftkit.run(extended, reporter=heard).step == 6
    assert "resuming from step 3 of 6" in heard.notes
    changed = 'changed since the run was started: name: "small" -> "renamed"; training.max_steps: 3 -> 6'
    assert changed in heard.notes
    assert any(note.startswith("the run was moved: output: ") for note in heard.notes)
    assert any(
        note.startswith("the run ends at step 6 instead of 3; schedule stretched") for note in heard.notes
    )

    mine, theirs = comparable(metrics(copied)), comparable(metrics(longer))
    assert [line for line in mine if (line["event"], line["step"]) != ("valid", 3)] == theirs
    ours, others = tensors(copied), tensors(longer)
    assert all(torch.equal(ours[name], others[name]) for name in others)
    resumed = json.loads((copied / "environment.json").read_text())["resumed"]
    assert [entry["step"] for entry in resumed] == [3]
    assert [change["key"] for change in resumed[0]["changed"]] == ["name", "training.max_steps", "output"]
    assert [change["key"] for change in resumed[0]["environment"]] == ["packages.torch"]
    assert any("another environment" in note and 'packages.torch: "0.1" -> ' in note for note in heard.notes)
    assert (resumed[0]["extension"]["end_before"], resumed[0]["extension"]["end"]) == (3, 6)

    assert mftkit.run(mftkit.load_spec(copied), reporter=heard).step == 6  # and is finished as it is now
    assert "holds this spec's finished run (finished at step 6)" in heard.notes[-1]
    with pytest.raises(
        mftkit.MftError, match=r"training\.max_steps: .* would end at step 5, but it has made 6"
    ):
        mftkit.run(mftkit.load_spec(copied, ["training.max_steps=5"]))


def test_what_cannot_be_extended(copied: Path) -> None:
    held = ["training.max_steps=6", "training.extension=hold"]
    before = (copied / "metrics.jsonl").read_bytes()
    with pytest.raises(mftkit.MftError, match=r"differs in seed; training\.max_steps may differ"):
        mftkit.run(mftkit.load_spec(copied, ["seed=8", "training.max_steps=6"]))
    shutil.rmtree(copied / "checkpoints")
    with pytest.raises(mftkit.MftError, match=r"has no checkpoint, so it cannot be extended"):
        mftkit.run(mftkit.load_spec(copied, held))
    assert (copied / "metrics.jsonl").read_bytes() == before
    assert (copied / "model").is_dir()


def test_after_running_out_of_memory_a_smaller_micro_batch_gives_the_same_numbers(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = small_spec()["model"]
    exact = {**exact, "dtype": "float64", "config": {**exact["config"], "attention_dropout": 0.0}}
    training = {"max_steps": 4, "checkpoint_every": 1, "log_every": 3}
    whole = mftkit_run(spec(project, tmp_path / "whole", training, model=exact))
    step = TrainStep.__call__

    def fails(self: TrainStep, batch: Any, *arguments: Any) -> Any:
        if batch.number == 3:
            raise torch.OutOfMemoryError("no memory left")
        return step(self, batch, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(TrainStep, "__call__", fails)
        outcome = mftkit.run(spec(project, tmp_path / "run", training, model=exact))
    assert (outcome.reason, outcome.step) == ("failed", 3)
    assert outcome.error == (
        "out of memory in step 3 (no memory left). Run the same command again with one change: lower "
        "training.micro_batch_size (--set training.micro_batch_size=2), or set training.gradient_checkpointing to true. "
        "The run resumes from step 2, with the same batches and, up to rounding and dropout, the same numbers."
    )
    smaller = {**training, "micro_batch_size": 1, "gradient_checkpointing": True}
    mftkit_run(spec(project, tmp_path / "run", smaller, model=exact))
    mine, theirs = metrics(tmp_path / "run"), metrics(whole)
    assert len(mine) == len(theirs)
    for one, other in zip(mine[:-1], theirs[:-1], strict=True):
        assert one.get("loss") == pytest.approx(other.get("loss"), rel=1e-12)
        for task, numbers in other.get("tasks", {}).items():
            assert one["tasks"][task]["loss"] == pytest.approx(numbers["loss"], rel=1e-12)
    ours, others = tensors(tmp_path / "run"), tensors(whole)
    assert all(torch.allclose(ours[name], others[name], rtol=1e-10, atol=1e-12) for name in others)


def test_an_early_stopped_run_that_is_extended_validates_once_more(
    project: Path, tmp_path: Path, losses: Any
) -> None:
    usual = {"evaluate_every": 1, "max_steps": 5, "early_stopping": {"patience": 1}}
    losses((5, 5), (4, 4), (4, 4), (3, 3), (3, 3), (2, 2), (2, 2))
    assert mftkit.run(spec(project, tmp_path / "run", usual)).step == 2
    heard = Recorder()
    outcome = mftkit.run(spec(project, tmp_path / "run", usual | {"max_steps": 6}), reporter=heard)
    assert (outcome.reason, outcome.step) == ("early-stopped", 4)  # step 3 was the best, step 4 no better
    assert any("early stopping had ended the run; it continues" in note for note in heard.notes)
    patient = usual | {"max_steps": 6, "early_stopping": {"patience": 3}}
    outcome = mftkit.run(spec(project, tmp_path / "run", patient))
    assert (outcome.reason, outcome.step, outcome.best_step) == ("finished", 6, 5)
    assert [line["step"] for line in metrics(tmp_path / "run") if line["event"] == "valid"] == list(range(7))


def test_an_unfinished_run_may_end_earlier(copied: Path) -> None:
    cut_short(copied)
    shutil.rmtree(copied / "model")
    shutil.rmtree(copied / "checkpoints" / "step-00000003")  # its last is that of step 2
    heard = Recorder()
    shorter = mftkit.load_spec(copied, ["training.max_steps=2", "training.evaluate_every=5"])
    outcome = mftkit.run(shorter, reporter=heard)
    assert (outcome.reason, outcome.step) == ("finished", 2)
    assert any(note.startswith("the run ends at step 2 instead of 3") for note in heard.notes)
    assert (copied / "model").is_dir()


@pytest.mark.parametrize("fresh", [False, True])
def test_a_start_from_step_0_says_so_and_keeps_the_metrics(copied: Path, fresh: bool) -> None:
    cut_short(copied, checkpoints=fresh)
    first = (copied / "metrics.jsonl").read_text()
    heard = Recorder()
    rows_now = write_rows(
        copied.parent / "fewer.jsonl", rows("big", 30)
    )  # nothing is resumed, so they may differ
    again = mftkit.load_spec(copied, ["training.max_steps=1", f"tasks.0.train={rows_now}"])
    assert mftkit.run(again, fresh=fresh, reporter=heard).step == 1
    why = "--fresh: the run in" if fresh else "no checkpoint was saved before step 3, so the run in"
    assert any(
        warning.startswith(why) and "starts again from step 0" in warning for warning in heard.warnings
    )
    assert (copied / "metrics-1.jsonl").read_text() == first
    mftkit.run(again, fresh=True)
    assert [line["event"] for line in metrics(copied)][-1] == "end"
    assert sorted(file.name for file in copied.glob("metrics*")) == [
        "metrics-1.jsonl",
        "metrics-2.jsonl",
        "metrics.jsonl",
    ]


def test_data_and_base_are_recognised_by_their_content(project: Path, finished: Path, tmp_path: Path) -> None:
    base = shutil.copytree(finished / "model", tmp_path / "base")
    run = tmp_path / "run"
    pretrained = {"init": "pretrained", "path": str(base)}
    mftkit_run(spec(project, run, {"max_steps": 1}, model=pretrained))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    base.rename(elsewhere / "model")
    (elsewhere / "rows.json").write_text(json.dumps(rows("big", 40)))
    mapped = [f"model.path={elsewhere / 'model'}", f"tasks.0.train={elsewhere / 'rows.json'}"]
    longer = [*mapped, "training.max_steps=2"]
    assert mftkit.run(mftkit.load_spec(run, longer)).step == 2
    longer[-1] = "training.max_steps=3"
    (elsewhere / "rows.json").write_text(json.dumps(rows("big", 39)))
    with pytest.raises(mftkit.MftError, match="the training data changed since the run in"):
        mftkit.run(mftkit.load_spec(run, longer))
    (elsewhere / "rows.json").write_text(json.dumps(rows("big", 40)))
    weights = elsewhere / "model" / "model.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(weights).items()}, weights, {"format": "pt"})
    with pytest.raises(
        mftkit.MftError, match=r"model\.path: the model in .* differs from the one with which"
    ):
        mftkit.run(mftkit.load_spec(run, longer))


def test_the_adapter_of_a_moved_run_names_the_base_that_moved_with_it(project: Path, tmp_path: Path) -> None:
    tuning = {"method": "lora", "rank": 2, "alpha": 4}
    mftkit_run(spec(project, tmp_path / "run", {"max_steps": 1}, tuning=tuning))
    moved = (tmp_path / "run").rename(tmp_path / "moved")
    model, _ = mftkit.load_model(moved / "model")  # finds the base before anything is corrected
    assert model is not None
    mftkit.run(mftkit.load_spec(moved))
    config = json.loads((moved / "model" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(moved / "base")
    assert json.loads((moved / "spec.json").read_text())["output"] == str(moved)
    assert mftkit.run(mftkit.load_spec(moved, ["training.max_steps=2"])).step == 2
