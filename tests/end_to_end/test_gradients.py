"""A gradient for each task, summed by a plugin: the numbers of a run without it, in one process and in two."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from fixture_types import Install
from small_runs import metrics, mft, small_spec

PLUGIN = """
import mftkit

@mftkit.hookimpl
def register_gradient_combiners(register):
    register("plain-sum", Sum, summary="the sum")

class Sum(mftkit.GradientCombiner):
    def combine(self, gradients, weights):
        return gradients.sum(0)
"""


def numbers(run: Path) -> Any:
    return [
        [line["loss"], line.get("grad_norm", 0.0), *(task["loss"] for task in line["tasks"].values())]
        for line in metrics(run)
        if line["event"] in ("train", "valid")
    ]


@pytest.mark.long
def test_the_plain_sum_is_ordinary_training_with_real_processes(project: Path, install: Install) -> None:
    site = install("mft-sum", {"sum": "mft_sum"}, {"mft_sum": PLUGIN})
    path = os.pathsep.join([str(site), *sys.path])
    spec = small_spec(
        loss="task-focal", tuning={"method": "lora", "rank": 4}, tokenization={"name": "pack", "options": {"scope": "task"}},
        training={"max_steps": 4, "log_every": 1, "evaluate_every": 4, "max_grad_norm": 0.05},
    )  # fmt: skip
    spec["model"]["config"]["attention_dropout"] = 0.0
    spec["tuning"]["dropout"] = 0.0
    spec["model"]["dtype"] = "float64"
    runs = {
        "plain": (spec, ()),
        "one": (spec | {"gradients": "plain-sum"}, ()),
        "two": (spec | {"gradients": "plain-sum"}, ("--processes", "2")),
    }
    for name, (content, more) in runs.items():
        (project / f"{name}.json").write_text(json.dumps(content | {"output": name}))
        done = mft("run", f"{name}.json", *more, cwd=project, PYTHONPATH=path)
        assert done.returncode == 0, done.stderr
        assert ("one for each task, 2 x" in " ".join(done.stderr.split())) == (name != "plain")
    for name in ("one", "two"):
        for mine, theirs in zip(numbers(project / name), numbers(project / "plain"), strict=True):
            assert mine == pytest.approx(theirs, rel=1e-6)

    mixed = spec | {"gradients": "plain-sum", "tokenization": "pack", "output": "mixed"}
    (project / "mixed.json").write_text(json.dumps(mixed))
    done = mft("run", "mixed.json", "--dry-run", cwd=project, PYTHONPATH=path)
    assert done.returncode == 2
    assert "tokenization.options.scope" in done.stderr
