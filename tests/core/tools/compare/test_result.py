"""compare.json: its keys are those that other programs read, and it is read back as it was written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from comparison_results import RESULT
from mftkit.tools.compare.metric_results import MetricDifference, MetricResult
from mftkit.tools.compare.paired import PairedTest
from mftkit.tools.compare.result import read_result, write_result
from mftkit_registry import MftError


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


def test_metrics_and_paired_tests_are_read_back_and_a_file_of_before_has_none(tmp_path: Path) -> None:
    metric = MetricResult("x", "e/m", False, "nats", "mixed", [MetricDifference("b", 0.5, 0.25, 0.75, False)])
    paired = [PairedTest("x", "e/m", "b", "mixed", "bootstrap", 9, 2, 0.5, 0.25, 0.75, 0.01, 0.02)]
    whole = replace(RESULT, metrics=[metric], paired=paired)
    write_result(tmp_path, whole)
    assert read_result(tmp_path) == whole
    written = whole.to_json()
    assert written["metrics"][0]["differences"][0]["verdict"] == "worse"
    for key in ("metrics", "paired"):
        del written[key]
    for key in ("metrics", "merge", "directories"):
        del written["arms"][0][key]
    (tmp_path / "compare.json").write_text(json.dumps(written))
    assert read_result(tmp_path) == RESULT


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
