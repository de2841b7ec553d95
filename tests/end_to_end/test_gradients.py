"""A gradient for each task, summed by a plugin: the numbers of a run without it, in one process and in two."""

import json
from pathlib import Path
from typing import Any

import pytest

from commands import mft
from fixture_types import Install
from forked import run_forked
from small_runs import metrics, small_spec

PLUGIN = """
import mftkit

@mftkit.hookimpl
def register_gradient_combiners(register):
    register("plain-sum", Sum, summary="the sum")

class Sum(mftkit.GradientCombiner):
    def combine(self, gradients, weights):
        return gradients.sum(0)
"""


TWO = """
import mftkit
mftkit.run(mftkit.load_spec("two.json"))
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
    spec = small_spec(
        loss="task-focal", tuning={"method": "lora", "rank": 4}, tokenization={"name": "pack", "options": {"scope": "task"}},
        training={"max_steps": 4, "log_every": 1, "evaluate_every": 4, "max_grad_norm": 0.05},
    )  # fmt: skip
    spec["model"]["config"]["attention_dropout"] = 0.0
    spec["tuning"]["dropout"] = 0.0
    spec["model"]["dtype"] = "float64"
    for name in ("plain", "one", "two"):
        content = spec if name == "plain" else spec | {"gradients": "plain-sum"}
        (project / f"{name}.json").write_text(json.dumps(content | {"output": name}))
    run_forked(TWO, (2,), project)
    for name in ("plain", "one"):
        done = mft("run", f"{name}.json", cwd=project, sites=(site,))
        assert done.returncode == 0, done.stderr
        assert ("one for each task, 2 x" in " ".join(done.stderr.split())) == (name != "plain")
    for name in ("one", "two"):
        for mine, theirs in zip(numbers(project / name), numbers(project / "plain"), strict=True):
            assert mine == pytest.approx(theirs, rel=1e-6)

    mixed = spec | {"gradients": "plain-sum", "tokenization": "pack", "output": "mixed"}
    (project / "mixed.json").write_text(json.dumps(mixed))
    done = mft("run", "mixed.json", "--dry-run", cwd=project, sites=(site,))
    assert done.returncode == 2
    assert "tokenization.options.scope" in done.stderr
