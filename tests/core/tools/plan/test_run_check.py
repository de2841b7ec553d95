"""The line on memory in the plan of a run, and the refusal of a run that cannot fit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from commands import mft
from mftkit.tools.plan import run_check
from mftkit.tools.plan.run_check import is_small
from small_runs import rows, small_spec, write_rows


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for task in ("big", "small"):
        write_rows(tmp_path / "data" / f"{task}.jsonl", rows(task, 30))
    (tmp_path / "spec.json").write_text(json.dumps(small_spec(training={"max_steps": 1})))
    return tmp_path


def test_the_plan_of_a_run_states_its_memory(project: Path) -> None:
    done = mft("run", "spec.json", "--dry-run", cwd=project)
    assert done.returncode == 0, done.stderr
    assert "for weights, gradients and optimizer, of" in done.stdout


def test_a_run_that_cannot_fit_is_refused_before_anything_is_written(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_check, "SMALL", 0)
    monkeypatch.setattr(run_check, "device_memory", lambda _: 100_000)
    refused = mft("run", "spec.json", cwd=project)
    assert refused.returncode == 2
    assert "before any activations (weights " in refused.stderr
    assert "training.check_memory" in refused.stderr
    planned = mft("run", "spec.json", "--dry-run", cwd=project)
    assert planned.returncode == 0
    assert "a run would be refused: memory: this run needs" in planned.stderr
    allowed = mft("run", "spec.json", "--set", "training.check_memory=false", cwd=project)
    assert allowed.returncode == 0, allowed.stderr
    plan = json.loads((project / "run" / "plan.json").read_text())
    assert plan["memory"].startswith("0 MiB for weights") or "MiB for weights" in plan["memory"]


@pytest.mark.parametrize(
    ("config", "small"),
    [
        ({"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "vocab_size": 500}, True),
        ({"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "vocab_size": 32000}, False),
        (
            {
                "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 8, "vocab_size": 500,
                "num_experts": 64,
            },
            False,
        ),
        ({"n_embd": 64}, False),
    ],
)  # fmt: skip
def test_only_models_that_are_certainly_small_are_not_outlined(config: dict[str, int], small: bool) -> None:
    assert is_small(config) is small
