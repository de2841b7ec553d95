"""Each task by itself: when it stops, which step is its best, and what lies in best/.

Real runs of a tiny model, but for the validation losses, which are a script's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import mftkit
from mftkit.training.validation import Validator
from recorder import Recorder
from scripted_losses import checkpoints, spec, unfinished
from small_runs import comparable, metrics, rows, small_spec, write_rows


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_rows(tmp_path / "data" / "big.jsonl", rows("big", 40))
    write_rows(tmp_path / "data" / "small.jsonl", rows("small", 20))
    return tmp_path


def weights(project: Path) -> list[tuple[float, float]]:
    """Of big and small, in each train line."""
    lines = [line for line in metrics(project / "run") if line["event"] == "train"]
    return [(line["tasks"]["big"]["weight"], line["tasks"]["small"]["weight"]) for line in lines]


def test_a_task_that_gains_no_more_trains_no_more(project: Path, losses: Any) -> None:
    # big is best at step 1, small at step 3; after two validations without a gain each is out
    losses((9, 9), (2, 8), (3, 7), (4, 6), (5, 7), (1, 8), (0, 0))
    listener = Recorder()
    made = spec(project, log_every=1, early_stopping={"patience": 2, "criterion": "each"})
    outcome = mftkit.run(made, reporter=listener)
    assert (outcome.reason, outcome.step) == ("early-stopped", 5)
    assert weights(project) == [(1, 1), (1, 1), (1, 1), (0, 1), (0, 1)]
    assert [note for note in listener.notes if note.startswith("early stopping")] == [
        "early stopping for task big: no improvement; its weight is 0 after step 3",
        "early stopping for task small: no improvement; its weight is 0 after step 5",
    ]


def test_all_train_until_none_gains(project: Path, losses: Any) -> None:
    losses((9, 9), (2, 8), (3, 7), (4, 8), (1, 8), (2, 8), (2, 8), (0, 0))
    made = spec(project, log_every=1, early_stopping={"patience": 2, "criterion": "all"})
    outcome = mftkit.run(made)
    assert (outcome.reason, outcome.step) == ("early-stopped", 6)
    assert set(weights(project)) == {(1, 1)}


def test_a_run_that_resumes_knows_which_tasks_have_stopped(project: Path, monkeypatch: Any) -> None:
    """A bad tenth of validation losses goes up by itself: big's are made to, by what they were asked."""
    real = Validator.losses

    def worse(self: Validator, scorer: Any) -> Any:
        nll, tokens = real(self, scorer)
        nll[0] = tokens[0]  # big's loss is always 1
        return nll, tokens

    monkeypatch.setattr(Validator, "losses", worse)
    stopping = {"patience": 2, "criterion": "each"}
    made = spec(
        project, max_steps=8, log_every=1, checkpoint_every=1, keep_checkpoints=9, early_stopping=stopping
    )
    mftkit.run(made)
    whole = comparable(metrics(project / "run"))
    assert (0, 1) in weights(project)
    unfinished(project)
    for step in (6, 7, 8):
        for file in (project / f"run/checkpoints/step-{step:08d}").glob("*"):
            file.unlink()
    mftkit.run(made)
    assert comparable(metrics(project / "run")) == whole


def best_json(project: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((project / "run/best/best.json").read_text())
    return found


def test_each_tasks_best_and_the_best_by_rank(project: Path, losses: Any) -> None:
    # by mean step 4; big's best is step 1, small's step 3
    losses((9, 9), (1, 8), (3, 7), (6, 2), (2, 4), (5, 5), (6, 6))
    made = spec(project, max_steps=6, keep_checkpoints=1, best_per_task=True)
    outcome = mftkit.run(made)
    assert outcome.best_step == 4
    assert checkpoints(project) == [1, 3, 4, 6]
    best = best_json(project)
    assert best["tasks"]["big"] == {
        "step": 1, "path": "best/step-00000001", "losses": {"big": 1.0, "small": 8.0}
    }  # fmt: skip
    assert (best["tasks"]["small"]["step"], best["tasks"]["small"]["path"]) == (3, "best/step-00000003")
    assert (best["mean"]["step"], best["mean"]["path"]) == (4, "model")
    # big ranks step 4 second and small ranks it second: no other has less than 4 together
    assert (best["mean_rank"]["step"], best["mean_rank"]["path"]) == (4, "model")
    for step in (1, 3):
        kept = load_file(project / f"run/checkpoints/step-{step:08d}/model.safetensors")
        result = load_file(project / f"run/best/step-{step:08d}/model.safetensors")
        assert all(torch.equal(result[name], kept[name]) for name in result)
    assert not (project / "run/best/step-00000004").exists(), "model/ holds it"
    mftkit.load_model(project / "run/best/step-00000001")
    assert "those of step 1." in (project / "run/best/step-00000001/README.md").read_text("utf-8")


def test_only_adapters_are_kept_for_each_task_unless_asked(project: Path) -> None:
    for method, asked, kept in [("full", None, False), ("lora", None, True), ("lora", False, False)]:
        made = small_spec(
            tuning=method, training={"max_steps": 2, "best_per_task": asked, "evaluate_every": 1}
        )
        mftkit.run(mftkit.load_spec(made, directory=project), fresh=True)
        assert (project / "run/best").exists() == kept, (method, asked)
    assert (project / "run/model").exists()


def test_a_lost_step_is_reported(project: Path, losses: Any) -> None:
    losses((9, 9), (1, 8), (3, 3), (3, 3))
    made = spec(project, max_steps=3, keep_checkpoints=1, checkpoint_every=1, best_per_task=True)
    mftkit.run(made)
    unfinished(project)
    weights = project / "run/checkpoints/step-00000001/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-7])
    listener = Recorder()
    mftkit.run(made, reporter=listener)
    assert any("step-00000001" in line and "is written without step 1" in line for line in listener.warnings)
    assert best_json(project)["tasks"]["big"]["path"] is None
