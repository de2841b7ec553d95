"""compare.json: its keys are those that other programs read, and it is read back as it was written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mftkit.tools.compare.noise import Difference
from mftkit.tools.compare.result import (
    ArmResult,
    ComparisonResult,
    Noise,
    RunResult,
    TaskBudget,
    read_result,
    write_result,
)
from mftkit_registry import MftError

RUN = RunResult("runs/mixed-a/seed-1", 1, None, "finished", 9, 2.5, 1)
ARM = ArmResult(
    label="mixed",
    kind="mixed",
    loss={"name": "a"},
    balancer={"name": "b"},
    losses={"x": [1.5, None]},
    at_step={"x": [4, None]},
    model_losses={"x": [1.75, None]},
    mean_by_seed=[1.5, None],
    mean_loss=None,
    mean_rank=None,
    seconds_by_seed=[2.5, 0.0],
    seconds=1.25,
    runs=[RUN],
)
RESULT = ComparisonResult(
    name="run",
    complete=False,
    tasks=["x"],
    seeds=[1, 2],
    budget="epochs",
    steps=9,
    single={"x": TaskBudget(5, 0.5)},
    same_start=True,
    arms=[ARM],
    noise=Noise(True, 0.95, "the rule", "mixed", [Difference("other", 0.5, 0.25, 0.75)], "a verdict"),
)


def test_the_keys_are_those_that_other_programs_read() -> None:
    written = RESULT.to_json()
    assert list(written) == [
        "name", "complete", "tasks", "seeds", "budget", "steps", "single", "same_start", "arms", "noise", "metrics",
        "paired",
    ]  # fmt: skip
    assert list(written["arms"][0]) == [
        "label", "kind", "loss", "balancer", "losses", "at_step", "model_losses", "mean_by_seed", "mean_loss",
        "mean_rank", "seconds_by_seed", "seconds", "runs", "settings", "steps", "same_as", "weights_moved", "metrics",
        "merge", "directories",
    ]  # fmt: skip
    assert written["arms"][0]["runs"] == [
        {
            "directory": "runs/mixed-a/seed-1",
            "seed": 1,
            "task": None,
            "state": "finished",
            "steps": 9,
            "seconds": 2.5,
            "sittings": 1,
        }
    ]
    assert written["single"] == {"x": {"steps": 5, "epochs": 0.5}}
    assert written["noise"] == {
        "measured": True,
        "level": 0.95,
        "rule": "the rule",
        "best": "mixed",
        "differences": [{"arm": "other", "mean": 0.5, "low": 0.25, "high": 0.75, "verdict": "worse"}],
        "told": "a verdict",
    }


def test_it_is_read_back_and_what_a_later_version_adds_is_ignored(tmp_path: Path) -> None:
    write_result(tmp_path, RESULT)
    assert read_result(tmp_path) == RESULT
    written = RESULT.to_json()
    written["arms"][0]["energy"] = 3
    written["more"] = {}
    (tmp_path / "compare.json").write_text(json.dumps(written))
    assert read_result(tmp_path) == RESULT


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"arms": 3, "single": {}, "noise": {}}'])
def test_damage_is_reported_with_the_remedy(tmp_path: Path, content: str) -> None:
    (tmp_path / "compare.json").write_text(content)
    with pytest.raises(MftError, match=r"compare\.json is damaged \(.*\); run mft compare again"):
        read_result(tmp_path)
