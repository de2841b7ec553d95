"""One spec in several ways, from the command line to a table: the arms differ in what they compare alone."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import rankdata

import mftkit
from commands import mft
from forked import Forked, start_mft
from mftkit.cli import main
from mftkit.reporting.reporter import Reporter
from mftkit.tools.compare.arms import CompareOptions
from mftkit.tools.compare.compare import compare
from mftkit.training.setup import build_run, check_run
from small_runs import comparable, metrics, rows, small_spec, write_rows

TRAINING = {"epochs": 2, "evaluate_every": 4, "checkpoint_every": 2, "log_every": 1, "batch_size": 8}
WISH = ("--balancers", "equal", "--baselines", "single,mixed")

pytestmark = pytest.mark.long


def make(project: Path) -> Path:
    write_rows(project / "data" / "big.jsonl", rows("big", 120))
    write_rows(project / "data" / "small.jsonl", rows("small", 40))
    (project / "spec.json").write_text(json.dumps(small_spec(training=TRAINING)))
    return project


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = make(tmp_path_factory.mktemp("compared"))
    done = mft("compare", "spec.json", *WISH, cwd=project)
    assert done.returncode == 0, done.stderr
    (project / "stdout").write_text(done.stdout)
    (project / "stderr").write_text(done.stderr)
    return project


@pytest.fixture(scope="module")
def document(compared: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((compared / "run-compare/compare.json").read_text())
    return found


def directories(document: dict[str, Any], project: Path) -> list[Path]:
    return [project / "run-compare" / run["directory"] for arm in document["arms"] for run in arm["runs"]]


def test_the_table_is_that_of_the_metrics(compared: Path, document: dict[str, Any]) -> None:
    assert [arm["label"] for arm in document["arms"]] == ["single", "mixed", "equal"]
    table = (compared / "stdout").read_text()
    for arm in document["arms"]:
        for task in ("big", "small"):
            [run] = [run for run in arm["runs"] if run["task"] in (None, task)]
            lines = metrics(compared / "run-compare" / run["directory"])
            valid = [
                line["tasks"][task]["loss"] for line in lines if line["event"] == "valid" and line["step"]
            ]
            assert arm["losses"][task] == [min(valid)]
            assert f"{min(valid):.4f}" in table
        assert arm["mean_loss"] == pytest.approx(
            np.mean([arm["losses"][task][0] for task in ("big", "small")])
        )
        assert arm["seconds"] > 0
    columns = [[round(arm["losses"][task][0], 4) for arm in document["arms"]] for task in ("big", "small")]
    direct = np.mean([rankdata(column) for column in columns], axis=0)
    assert [arm["mean_rank"] for arm in document["arms"]] == pytest.approx(list(direct))
    assert "noise was not measured" in table
    assert "Budget: epochs." in table
    messages = (compared / "stderr").read_text()
    assert "run 1 of 4: single, big, seed 7" in messages
    assert "run 4 of 4: equal, seed 7" in messages
    assert all(c == "\n" or c.isprintable() for c in table + messages)


def test_all_arms_start_from_the_same_weights_tokenizer_and_order(
    compared: Path, document: dict[str, Any]
) -> None:
    assert document["same_start"] is True
    runs = [
        check_run(mftkit.load_spec(path / "spec.json"), Reporter())
        for path in directories(document, compared)
    ]
    weights = [build_run(one).model.state_dict() for one in runs]
    for other in weights[1:]:
        assert other.keys() == weights[0].keys()
        assert all(torch.equal(other[name], weights[0][name]) for name in other)
    assert all(one.tokenizer.get_vocab() == runs[0].tokenizer.get_vocab() for one in runs)
    mixed, equal = runs[2:]
    for number in range(1, mixed.sampler.total + 1):
        pairs = zip(mixed.sampler[number].rows, equal.sampler[number].rows, strict=True)
        assert all(np.array_equal(one, other) for one, other in pairs)
    for single, task in zip(runs[:2], (0, 1), strict=True):
        own = [
            mixed.corpus.valid[i].tokens.tolist()
            for i in range(len(mixed.corpus.valid))
            if mixed.corpus.valid.task[i] == task
        ]
        assert [single.corpus.valid[i].tokens.tolist() for i in range(len(single.corpus.valid))] == own


def test_an_arm_is_what_mft_run_makes_of_its_spec(
    compared: Path, document: dict[str, Any], tmp_path: Path
) -> None:
    path = compared / "run-compare" / document["arms"][1]["runs"][0]["directory"]
    mftkit.run(mftkit.load_spec(path / "spec.json", [f"output={tmp_path / 'alone'}"]))
    assert comparable(metrics(tmp_path / "alone")) == comparable(metrics(path))


def test_finished_arms_are_used_again_and_seeds_measure_noise(
    compared: Path,
    document: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(compared)
    kept = {path: (path / "metrics.jsonl").stat().st_mtime_ns for path in directories(document, compared)}
    assert (
        main(
            [
                "compare",
                "spec.json",
                "--losses",
                "sample-balanced",
                "--baselines",
                "mixed",
                "--seeds",
                "2",
                "--json",
            ]
        )
        == 0
    )
    captured = capsys.readouterr()
    assert "1 of 4 runs are finished already" in captured.err
    found = json.loads(captured.out)
    assert [arm["label"] for arm in found["arms"]] == ["mixed", "sample-balanced"]
    assert found["arms"][0]["losses"]["big"][0] == document["arms"][1]["losses"]["big"][0]
    assert found["seeds"] == [7, 8]
    assert found["same_start"] is True
    noise = found["noise"]
    assert noise["measured"]
    [difference] = noise["differences"]
    assert difference["low"] <= difference["mean"] <= difference["high"]
    assert noise["told"].endswith((".", "seeds)."))
    assert {path: (path / "metrics.jsonl").stat().st_mtime_ns for path in kept} == kept
    html = (compared / "run-compare/compare.html").read_text()
    assert "sample-balanced" in html
    assert 'href="runs/mixed-mixed/seed-8/report.html"' in html
    assert main(["report", "run-compare", "--output", "elsewhere.html"]) == 0
    assert 'href="run-compare/runs/mixed-mixed/seed-8/report.html"' in Path("elsewhere.html").read_text()


def test_mistakes_are_reported_before_anything_is_trained(
    compared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(compared)
    for arguments, message in (
        (["--balancers", "equl"], 'did you mean "equal"?'),
        (["--baselines", "singel"], "did you mean single?"),
        (["--budget", "hours"], "--budget hours: expected epochs or steps"),
        (["--losses", '{"name": "sample-focal", "options": {"gama": 1}}'], "arm sample-focal"),
        (["--baselines", "", "--losses", "mixed", "--output", "spec.json"], "is a file"),
        (["--set", "seed=8"], "holds the comparison of another spec (differs in seed)"),
        (["--mixed-loss", "nothing"], 'unknown loss "nothing"'),
        (["--set", "tasks.1.valid=0", "--output", "other"], "small has no validation"),
    ):
        assert main(["compare", "spec.json", *arguments]) == 2, arguments
        err = capsys.readouterr().err
        assert message in err
        assert "Traceback" not in err


def test_a_launcher_of_several_processes_is_refused(
    compared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["compare", str(compared / "spec.json")]) == 2
    assert "without torchrun" in capsys.readouterr().err


def test_other_data_is_refused(tmp_path: Path) -> None:
    project = make(tmp_path)
    spec = mftkit.load_spec(project / "spec.json", ["training.max_steps=1"])
    wish = CompareOptions(baselines=(), balancers=({"name": "equal"},))
    compare(spec, wish)
    write_rows(project / "data" / "small.jsonl", rows("small", 50))
    with pytest.raises(mftkit.MftError, match=r"the training data has changed since .*--fresh"):
        compare(spec, wish)
    (project / "run-compare/spec.json").write_text("{")
    with pytest.raises(mftkit.MftError, match=r"spec.json is damaged .*--fresh"):
        compare(spec, wish)
    assert compare(spec, wish, fresh=True).result.complete


def test_an_arm_that_fails_is_reported_and_the_others_continue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(make(tmp_path))
    broken = '{"name": "sample-focal", "options": {"alpha": 1e300}}'
    wish = ["--baselines", "", "--losses", broken, "--losses", "mixed", "--set", "training.max_steps=2"]
    assert main(["compare", "spec.json", *wish]) == 1
    captured = capsys.readouterr()
    assert "failed: " in captured.err
    assert "not finite" in captured.err
    found = json.loads(Path("run-compare/compare.json").read_text())
    assert [arm["mean_rank"] for arm in found["arms"]] == [None, 1.0]
    assert not found["complete"]
    html = Path(
        "run-compare/runs", found["arms"][0]["runs"][0]["directory"].removeprefix("runs/"), "report.html"
    ).read_text()
    assert "not finite" in html


def start(project: Path) -> Forked:
    return start_mft("compare", "spec.json", *WISH, cwd=project)


def wait_for(path: Path, step: int) -> None:
    for _ in range(6000):
        if path.exists() and any(
            json.loads(line).get("step", 0) >= step
            for line in path.read_text().splitlines()
            if line.endswith("}")
        ):
            return
        time.sleep(0.01)
    raise AssertionError(f"{path}: step {step} was not reached")


def wait_for_checkpoint(directory: Path) -> None:
    for _ in range(6000):
        if any(directory.glob("step-*/manifest.json")):
            return
        time.sleep(0.01)
    raise AssertionError(f"{directory}: no checkpoint was written")


def test_a_comparison_that_was_stopped_and_killed_resumes(
    compared: Path, document: dict[str, Any], tmp_path: Path
) -> None:
    project = make(tmp_path)
    runs = project / "run-compare/runs"
    process = start(project)
    wait_for(runs / "single-epochs/seed-7/big/metrics.jsonl", 3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "the same command resumes the comparison" in err
    assert "No arm is complete yet" in out
    partial = json.loads((project / "run-compare/compare.json").read_text())
    assert not partial["complete"]
    assert (project / "run-compare/compare.html").exists()
    assert "interrupted" in (runs / "single-epochs/seed-7/big/report.html").read_text()
    process = start(project)
    wait_for(runs / "mixed-mixed/seed-7/metrics.jsonl", 3)
    wait_for_checkpoint(runs / "mixed-mixed/seed-7/checkpoints")  # it is written while training continues
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=120)
    kept = (runs / "single-epochs/seed-7/big/metrics.jsonl").stat().st_mtime_ns
    done = mft("compare", "spec.json", *WISH, cwd=project)
    assert done.returncode == 0, done.stderr
    assert "2 of 4 runs are finished already" in done.stderr
    assert "resuming from step" in done.stderr
    assert (runs / "single-epochs/seed-7/big/metrics.jsonl").stat().st_mtime_ns == kept
    found = json.loads((project / "run-compare/compare.json").read_text())
    for arm, whole in zip(found["arms"], document["arms"], strict=True):
        assert arm["losses"] == whole["losses"]  # bit for bit those of a comparison that nobody stopped
    assert found["arms"][1]["runs"][0]["sittings"] >= 1
