"""A comparison of settings, from the command line: what each arm trained, and which arms never acted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from commands import mft
from small_runs import metrics, rows, small_spec, write_rows

TRAINING = {
    "max_steps": 4, "evaluate_every": 2, "log_every": 1, "batch_size": 4, "micro_batch_size": 4, "checkpoint_every": 4,
    "min_learning_rate": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("settings")
    write_rows(path / "data" / "big.jsonl", rows("big", 40))
    write_rows(path / "data" / "small.jsonl", rows("small", 20))
    (path / "spec.json").write_text(json.dumps(small_spec(training=TRAINING, max_length=64)))
    return path


@pytest.fixture(scope="module")
def compared(project: Path) -> tuple[str, dict[str, Any]]:
    arms = (
        "training.early_stopping.patience=9",
        "balancer=coba",
        "half:training.batch_size=2,training.micro_batch_size=2,training.max_steps=8",
    )
    given = [part for arm in arms for part in ("--arm", arm)]
    done = mft("compare", "spec.json", "--vary", "training.learning_rate=3e-3,1e-4", *given, cwd=project)
    assert done.returncode == 0, done.stderr
    assert "unchanged stands for learning_rate=0.003 too" in done.stderr
    return done.stdout, json.loads((project / "run-compare/compare.json").read_text())


def test_each_arm_trains_with_its_settings(project: Path, compared: tuple[str, dict[str, Any]]) -> None:
    _, found = compared
    arms = {arm["label"]: arm for arm in found["arms"]}
    assert list(arms) == ["unchanged", "learning_rate=0.0001", "patience=9", "balancer=coba", "half"]
    assert arms["learning_rate=0.0001"]["settings"] == {"training.learning_rate": 1e-4}
    assert [arm["steps"] for arm in arms.values()] == [4, 4, 4, 4, 8]
    for label, key, value in [("learning_rate=0.0001", "learning_rate", 1e-4), ("half", "batch_size", 2)]:
        run = project / "run-compare" / arms[label]["runs"][0]["directory"]
        assert json.loads((run / "spec.json").read_text())["training"][key] == value
    half = project / "run-compare" / arms["half"]["runs"][0]["directory"]
    # As many validations as the others have: the best of many is lower than the best of few.
    assert [line["step"] for line in metrics(half) if line["event"] == "valid"] == [0, 4, 8]
    assert found["same_start"] is True


def test_arms_that_never_acted_are_reported(project: Path, compared: tuple[str, dict[str, Any]]) -> None:
    table, found = compared
    arms = {arm["label"]: arm for arm in found["arms"]}
    assert {label: arm["same_as"] for label, arm in arms.items()} == {
        "unchanged": None,
        "learning_rate=0.0001": None,
        "patience=9": "unchanged",
        "balancer=coba": "unchanged",
        "half": None,
    }
    assert arms["balancer=coba"]["weights_moved"] is False
    assert arms["unchanged"]["weights_moved"] is None
    assert "patience=9 trained exactly as unchanged did, to the last digit" in table
    assert "(except: half 8)" in table
    page = (project / "run-compare/compare.html").read_text("utf-8").replace("<wbr>", "")
    assert page.count("patience=9 trained exactly as unchanged did") == 1  # in the verdict
    assert "training.batch_size: 2" in page


def test_a_balancer_that_never_left_its_start_is_reported_without_a_twin(
    project: Path, compared: tuple[str, dict[str, Any]]
) -> None:
    done = mft("compare", "spec.json", "--vary", "balancer=coba,famo", cwd=project)
    assert done.returncode == 0, done.stderr
    assert "balancer=coba never acted: all task weights of its balancer stayed 1 to the end" in done.stdout
    assert "balancer=famo trained exactly as balancer=coba did" in done.stdout
    assert "1 of 2 runs are finished already" in done.stderr


def test_arms_of_other_validation_samples_are_refused_before_any_runs(project: Path) -> None:
    done = mft("compare", "spec.json", "--vary", "max_length=40,64", "--arm", "chat.format=x", cwd=project)
    assert (done.returncode, "arm format=x" in done.stderr) == (2, True)
    done = mft(
        "compare",
        "spec.json",
        "--vary",
        "max_length=40,32",
        "--arm",
        "training.epochs=2",
        "--output",
        "other",
        cwd=project,
    )
    assert done.returncode == 2
    assert "arm max_length=40: its settings change the validation samples" in done.stderr
    assert "arm max_length=32: its settings change the validation samples" in done.stderr
    assert not (project / "other/runs").exists()


def test_a_dry_run_lists_the_arms_and_trains_nothing(project: Path) -> None:
    given = (
        "--vary",
        "training.max_steps=2,6",
        "--arm",
        "loss=mixed",
        "--seeds",
        "2",
        "--output",
        "dry",
        "--dry-run",
    )
    done = mft("compare", "spec.json", *given, cwd=project)
    assert done.returncode == 0, done.stderr
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "max_steps=6 2 12 training.max_steps=6" in lines
    assert "unchanged 2 8 loss token-balanced, balancer equal" in lines
    assert "all arms 8 32" in lines
    assert not (project / "dry").exists()
