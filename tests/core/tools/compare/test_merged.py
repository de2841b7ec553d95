"""Arms that are not trained: merged single models and soups, made and measured by the real command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

import mftkit
from commands import mft
from mftkit.reporting.reporter import Reporter
from mftkit.tools.validation_losses import validation_losses
from small_runs import metrics, rows, small_spec, train, write_rows

TRAINING = {
    "max_steps": 4, "evaluate_every": 4, "checkpoint_every": 4, "batch_size": 4, "micro_batch_size": 4,
    "learning_rate": 1e-2, "min_learning_rate": 0,
}  # fmt: skip
EVALUATE = {"evaluators": ["exact-match", "edit-similarity"], "limit": 4, "max_new_tokens": 4}
UNSEEN = {"name": "unseen", "data": ["data/unseen.jsonl"], "evaluators": ["loss"]}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("merged")
    write_rows(root / "data" / "big.jsonl", rows("big", 60))
    write_rows(root / "data" / "small.jsonl", rows("small", 40))
    write_rows(root / "data" / "unseen.jsonl", rows("unseen", 3))
    train(root, small_spec(training=TRAINING | {"max_steps": 1}, output="start"), name="start.json")
    spec = small_spec(training=TRAINING, model={"path": "start/model"})
    spec["tuning"] = {"method": "lora", "rank": 2}
    spec["tasks"][0]["evaluate"] = spec["tasks"][1]["evaluate"] = EVALUATE
    spec["evaluation"] = {"batch_size": 4, "tasks": [UNSEEN]}
    (root / "adapters.json").write_text(json.dumps(spec))
    (root / "whole.json").write_text(json.dumps(small_spec(training=TRAINING)))
    return root


def compare(project: Path, spec: str, output: str, *arguments: str) -> tuple[dict[str, Any], str]:
    done = mft("compare", spec, "--output", output, *arguments, cwd=project)
    assert done.returncode == 0, done.stderr
    return json.loads((project / output / "compare.json").read_text()), done.stdout + done.stderr


WISH = ("--baselines", "mixed", "--balancers", "equal", "--merged", "arithmetic", "--soup", "mixed", "--seeds", "2")
TIES = ("--merged", '{"method": "ties", "density": 0.3}')


@pytest.fixture(scope="module")
def adapters(project: Path) -> tuple[dict[str, Any], str]:
    return compare(project, "adapters.json", "out", *WISH, *TIES)


def arm(document: dict[str, Any], label: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in document["arms"] if each["label"] == label)
    return found


def test_the_single_models_are_trained_for_them_and_each_seed_has_a_merged_model(
    project: Path, adapters: tuple[dict[str, Any], str]
) -> None:
    document, printed = adapters
    labels = [each["label"] for each in document["arms"]]
    assert labels == ["single", "mixed", "equal", "merged", "merged (ties, density=0.3)", "soup of mixed"]
    print(printed)
    assert document["complete"]
    made = arm(document, "merged")
    assert len(made["directories"]) == len(made["losses"]["big"]) == 2
    spec = mftkit.load_spec(project / "adapters.json")
    for seed, place in enumerate(made["directories"]):
        losses = validation_losses(spec, project / "out" / place, Reporter())
        assert made["losses"]["big"][seed] == pytest.approx(losses["big"].loss, rel=1e-6)
