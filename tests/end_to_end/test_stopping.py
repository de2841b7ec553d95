"""When a run stops, which step it calls the best, and which checkpoints stay.

Real runs of a tiny model, but for the validation losses: those are a script's, so that every turn they can
take is met.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import mftkit
from recorder import Recorder
from scripted_losses import checkpoints, spec, unfinished
from small_runs import metrics, rows, write_rows


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_rows(tmp_path / "data" / "big.jsonl", rows("big", 40))
    write_rows(tmp_path / "data" / "small.jsonl", rows("small", 20))
    return tmp_path


def result_is_of(project: Path, step: int) -> bool:
    """Whether model/ holds the weights of a step's checkpoint."""
    kept = load_file(project / f"run/checkpoints/step-{step:08d}/model.safetensors")
    result = load_file(project / "run/model/model.safetensors")
    return all(torch.equal(result[name], kept[name]) for name in result)


def test_patience_counts_validations_without_a_better_mean(project: Path, losses: Any) -> None:
    # means: 5 at the start, then 4, 4.5, 3, 3 (no better), 3.1: the second without a gain
    losses((6, 4), (4, 4), (1, 8), (3, 3), (1, 5), (3.1, 3.1), (0, 0))
    outcome = mftkit.run(spec(project, early_stopping={"patience": 2}))
    assert (outcome.reason, outcome.step, outcome.best_step) == ("early-stopped", 5, 3)
    assert result_is_of(project, 3)
    end = metrics(project / "run")[-1]
    assert (end["reason"], end["step"], end["best_step"]) == ("early-stopped", 5, 3)
    valid = [line["loss"] for line in metrics(project / "run") if line["event"] == "valid"]
    assert valid == pytest.approx([5, 4, 4.5, 3, 3, 3.1])
    assert mftkit.run(spec(project, early_stopping={"patience": 2})).reason == "early-stopped"  # and stays so


def test_patience_on_named_tasks_and_the_best_by_the_mean_of_all(project: Path, losses: Any) -> None:
    # "small" gets better up to step 3, while the mean is best at step 1
    losses((5, 5), (1, 4), (7, 3), (9, 2), (1.5, 4), (0, 2), (0, 0))
    outcome = mftkit.run(spec(project, early_stopping={"patience": 2, "tasks": ["small"]}))
    assert (outcome.reason, outcome.step, outcome.best_step) == ("early-stopped", 5, 5)
    losses((5, 5), (1, 4), (7, 3), (9, 2), (1.5, 4), (1, 4), (0, 0))
    outcome = mftkit.run(spec(project, early_stopping={"patience": 2, "tasks": ["small"]}), fresh=True)
    assert (outcome.reason, outcome.step, outcome.best_step) == ("early-stopped", 5, 1)
    assert result_is_of(project, 1)


def test_a_run_that_never_got_better_than_its_start_stops_too(project: Path, losses: Any) -> None:
    losses((1, 1), (3, 3), (2, 2), (2, 2))
    outcome = mftkit.run(spec(project, early_stopping={"patience": 3}))
    # of the trained steps step 2 is the best: an untrained model is no result
    assert (outcome.reason, outcome.step, outcome.best_step) == ("early-stopped", 3, 2)


def test_the_epoch_is_a_cadence(project: Path, losses: Any) -> None:
    losses((5, 5), (4, 4), (3, 3), (3, 3), (2, 2))
    every: dict[str, Any] = {"evaluate_every": "epoch", "checkpoint_every": "epoch", "keep_checkpoints": 9}
    made = spec(project, **every, max_steps=None, epochs=5, early_stopping={"patience": 1}, batch_size=8)
    outcome = mftkit.run(made)
    lines = metrics(project / "run")
    valid = [line["step"] for line in lines if line["event"] == "valid"]
    an_epoch = valid[1]
    assert an_epoch > 1
    assert valid == [0, an_epoch, 2 * an_epoch, 3 * an_epoch]
    assert (outcome.reason, outcome.best_step) == ("early-stopped", 2 * an_epoch)
    assert checkpoints(project) == valid[1:]


@pytest.mark.parametrize("keep", [1, 2])
def test_the_best_checkpoint_stays(project: Path, losses: Any, keep: int) -> None:
    losses((9, 9), (5, 5), (2, 2), (3, 3))
    outcome = mftkit.run(spec(project, max_steps=7, checkpoint_every=1, keep_checkpoints=keep))
    assert (outcome.reason, outcome.best_step) == ("finished", 2)
    assert checkpoints(project) == [2, *range(8 - keep, 8)]
    assert result_is_of(project, 2)


def damage(project: Path, step: int, name: str = "state.pt") -> None:
    file = project / f"run/checkpoints/step-{step:08d}" / name
    file.write_bytes(file.read_bytes()[:-7])


def test_a_damaged_checkpoint_falls_back_to_the_one_before(project: Path, losses: Any) -> None:
    losses((9, 9), (5, 5), (2, 2), (3, 3))
    made = spec(project, max_steps=6, checkpoint_every=2, keep_checkpoints=1)
    mftkit.run(made)
    assert checkpoints(project) == [2, 6]
    before = unfinished(project)
    damage(project, 6)
    losses((3, 3))
    listener = Recorder()
    outcome = mftkit.run(made, reporter=listener)
    (told,) = [line for line in listener.warnings if "damaged" in line]
    assert "step-00000006" in told
    assert told.endswith("resuming from the one before it")
    assert "resuming from step 2 of 6" in listener.notes
    assert (outcome.reason, outcome.best_step) == ("finished", 2)
    assert checkpoints(project) == [2, 6]
    after = [line for line in metrics(project / "run") if line["event"] != "end"]
    assert [(line["event"], line["step"], line["loss"]) for line in after] == [
        (line["event"], line["step"], line["loss"]) for line in before
    ]


def test_the_only_good_checkpoint_outlives_the_damaged_ones(project: Path, losses: Any) -> None:
    """Three are kept, the two newest are damaged: the run goes on from the third, and it is there until a newer is."""
    losses((9, 9), (5, 5), (4, 4), (3, 3), (2, 2), (1, 1))
    made = spec(project, max_steps=5, checkpoint_every=1, keep_checkpoints=3)
    mftkit.run(made)
    unfinished(project)
    for step in (4, 5):
        damage(project, step)
    listener = Recorder()
    losses((2, 2), (1, 1))
    outcome = mftkit.run(made, reporter=listener)
    assert len([line for line in listener.warnings if "damaged" in line]) == 2
    assert (outcome.reason, outcome.best_step) == ("finished", 5)
    assert checkpoints(project) == [3, 4, 5]


def test_all_damaged_is_reported_and_starts_at_the_beginning(project: Path, losses: Any) -> None:
    losses((9, 9), (5, 5))
    made = spec(project, max_steps=2, checkpoint_every=1, keep_checkpoints=2)
    mftkit.run(made)
    unfinished(project)
    damage(project, 1)
    damage(project, 2)
    listener = Recorder()
    losses((9, 9), (5, 5))
    assert mftkit.run(made, reporter=listener).reason == "finished"
    consequences = [line.rsplit("; ")[-1] for line in listener.warnings if "damaged" in line]
    assert consequences == [
        "resuming from the one before it",
        "there is no other, so the run starts again from step 0, and 2 steps are lost",
    ]
    assert (project / "run/metrics-1.jsonl").is_file()
    assert not [line for line in listener.notes if "resuming from step" in line]


def test_a_lost_best_is_reported_and_the_result_is_the_last_steps(project: Path, losses: Any) -> None:
    losses((9, 9), (2, 2), (3, 3))
    made = spec(project, max_steps=4, checkpoint_every=1, keep_checkpoints=1)
    mftkit.run(made)
    assert checkpoints(project) == [1, 4]
    unfinished(project)
    damage(project, 1, "model.safetensors")
    listener = Recorder()
    outcome = mftkit.run(made, reporter=listener)
    assert outcome.reason == "finished"
    assert any(
        "step-00000001" in line and "holds those of the last step" in line for line in listener.warnings
    )
    assert result_is_of(project, 4)
