"""Runs of a tiny model whose mixing changes: what they draw, killing and resuming, several processes, refusals."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import mftkit
from forked import run_forked, start_mft
from mftkit.reporting.plan import Plan
from recorder import Recorder
from small_runs import comparable, metrics, rows, small_spec, write_rows

OPTIONS = {"every": 4, "samples": 2, "temperature": 0.05, "exploration": 0.0}
MIXING = {"mixer": {"name": "bandit", "options": OPTIONS}}


class Planner(Recorder):
    """Keeps the plan, too."""

    plan: Plan

    def planned(self, plan: Plan) -> None:
        self.plan = plan


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_rows(tmp_path / "data" / "big.jsonl", rows("big", 60))
    write_rows(tmp_path / "data" / "small.jsonl", rows("small", 20))
    return tmp_path


def spec(**changes: Any) -> dict[str, Any]:
    training = {"max_steps": 14, "epochs": 1, "batch_size": 4, "micro_batch_size": 2, "log_every": 1}
    training |= {"evaluate_every": 100, "checkpoint_every": 3, "keep_checkpoints": 9}
    training |= changes.pop("training", {})
    made = small_spec(training=training, **{"mixing": MIXING, **changes})
    for task in made["tasks"]:
        task["valid"] = 0.1
    return made


def load(project: Path, **changes: Any) -> Any:
    return mftkit.load_spec(spec(**changes), directory=project)


def trained(run: Path) -> list[dict[str, Any]]:
    return [line for line in metrics(run) if line["event"] == "train"]


def assert_equal(run: Path, reference: Path) -> None:
    assert comparable(metrics(run)) == comparable(metrics(reference))
    mine, theirs = (load_file(each / "model" / "model.safetensors") for each in (run, reference))
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def cut(whole: Path, run: Path, step: int) -> None:
    """Make ``run`` what a process that was killed after ``step`` has left of the run ``whole``."""
    shutil.copytree(whole, run)
    write_rows(run / "metrics.jsonl", [line for line in metrics(whole) if line["event"] != "end"])
    for each in (run / "checkpoints").iterdir():
        if int(each.name.removeprefix("step-")) > step:
            shutil.rmtree(each)


def test_shares_change_are_drawn_and_resume_bit_for_bit(project: Path) -> None:
    listener = Planner()
    mftkit.run(load(project), reporter=listener)
    assert "mixer bandit: shares change during the run, every 4 steps" in listener.plan.mixing
    lines = trained(project / "run")
    shares = [line["shares"] for line in lines]
    assert len(lines) == 14
    assert all(shares[i] == shares[i - i % 4] for i in range(14))
    assert len({each["small"] for each in shares[::4]}) > 2
    for first in (0, 4, 8):
        interval = lines[first : first + 4]
        drawn = {task: sum(line["tasks"][task]["samples"] for line in interval) for task in ("big", "small")}
        assert drawn["small"] / sum(drawn.values()) == pytest.approx(shares[first]["small"], abs=1e-12)
    page = mftkit.report(project / "run", output=project / "page.html")
    assert "Shares of the samples" in Path(page).read_text(encoding="utf-8")

    shutil.move(project / "run", project / "whole")
    for step in (6, 12):  # in the middle of an interval, and at the end of one
        cut(project / "whole", project / "run", step)
        again = Planner()
        mftkit.run(load(project), reporter=again)
        assert f"resuming from step {step}" in " ".join(again.notes)
        assert_equal(project / "run", project / "whole")
        shutil.rmtree(project / "run")


def test_another_mixer_is_another_run(project: Path) -> None:
    mftkit.run(load(project, training={"max_steps": 3}))
    other = {"mixer": {"name": "bandit", "options": OPTIONS | {"temperature": 2.0}}}
    with pytest.raises(mftkit.MftError, match="mixing.mixer.options.temperature"):
        mftkit.run(load(project, training={"max_steps": 3}, mixing=other))


def test_no_batch_depends_on_where_the_mixing_is_named(project: Path) -> None:
    """The old keys and the mixers of their names draw the same samples."""
    for name, options in (
        ("temperature", {"temperature": 2.0, "by": "tokens"}),
        ("proportions", {"proportions": {"big": 1, "small": 2}, "by": "samples"}),
    ):
        short, long = project / "short", project / "long"
        mftkit.run(load(project, output="short", mixing=options, training={"max_steps": 3}))
        named = {"mixer": {"name": name, "options": options}}
        mftkit.run(load(project, output="long", mixing=named, training={"max_steps": 3}))
        assert_equal(short, long)
        assert "shares" not in trained(short)[0]
        shutil.rmtree(short)
        shutil.rmtree(long)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training": {"task_mean": "dataset"}}, "task_mean.*requires fixed counts per task"),
        ({"mixing": {**MIXING, "temperature": 2.0}}, "exactly one of.*has temperature and mixer"),
        ({"mixing": {**MIXING, "by": "tokens"}}, "mixing.by.*has no meaning beside a mixer"),
        ({"mixing": {"mixer": "bandits"}}, 'unknown mixer.*did you mean "bandit"'),
    ],
)
def test_what_a_spec_is_refused_for(project: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(mftkit.MftError, match=message):
        load(project, **changes)


def test_what_the_data_is_refused_for(project: Path) -> None:
    made = spec(mixing={"mixer": {"name": "proportions", "options": {"proportions": {"big": 1}}}})
    with pytest.raises(mftkit.MftError, match="'small' has none"):
        mftkit.run(mftkit.load_spec(made, directory=project))
    made = spec()
    made["tasks"][1]["valid"] = 0
    with pytest.raises(mftkit.MftError, match="bandit needs validation samples.*small"):
        mftkit.run(mftkit.load_spec(made, directory=project))
    every = {"mixer": {"name": "bandit", "options": {"every": 1}}}
    made = spec(mixing=every, training={"batch_size": 1, "micro_batch_size": 1})
    with pytest.raises(mftkit.MftError, match="fewer rows than the 2 tasks"):
        mftkit.run(mftkit.load_spec(made, directory=project))


def test_forward_passes_of_one_task(project: Path) -> None:
    """With rows and forward passes of one task each, shares change as well."""
    changes: dict[str, Any] = {"tokenization": "padding", "training": {"max_steps": 9, "grouping": "task"}}
    mftkit.run(load(project, **changes))
    lines = trained(project / "run")
    assert len({line["shares"]["small"] for line in lines}) > 1
    assert sum(line["tasks"]["small"]["samples"] for line in lines[4:8]) == 16 * lines[4]["shares"]["small"]


@pytest.mark.long
def test_killed_in_an_interval(project: Path) -> None:
    mftkit.run(load(project, output="whole", training={"max_steps": 40}))
    (project / "spec.json").write_text(json.dumps(spec(training={"max_steps": 40})))
    process, path = start_mft("run", "spec.json", cwd=project), project / "run" / "metrics.jsonl"
    while not (path.exists() and '"step":14' in path.read_text().replace(" ", "")):
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert metrics(project / "run")[-1]["event"] != "end"
    listener = Planner()
    mftkit.run(load(project, training={"max_steps": 40}), reporter=listener)
    assert any(note.startswith("resuming from step") for note in listener.notes)
    assert_equal(project / "run", project / "whole")


BOTH = """
import json, os, mftkit
from pathlib import Path
made = json.loads(Path("spec.json").read_text())
made["output"] = os.environ.get("WORLD_SIZE", "1")
mftkit.run(mftkit.load_spec(made, directory=Path.cwd()))
"""


@pytest.mark.long
def test_two_processes_draw_the_batches_of_one(project: Path) -> None:
    made = spec(training={"micro_batch_size": 1})
    made["model"]["config"]["attention_dropout"] = 0.0
    made["model"]["dtype"] = "float64"
    (project / "spec.json").write_text(json.dumps(made))
    run_forked(BOTH, (1, 2), project)
    one, two = (trained(project / count) for count in ("1", "2"))
    assert [line["shares"] for line in one] == [line["shares"] for line in two]
    assert [line["tasks"]["small"]["samples"] for line in one] == [
        line["tasks"]["small"]["samples"] for line in two
    ]
    assert [line["loss"] for line in two] == pytest.approx([line["loss"] for line in one], rel=1e-9)
    assert np.unique([line["shares"]["small"] for line in one]).size > 2
