"""Runs of a tiny model with each optimizer: resuming bit for bit, groups of parameters, several processes, refusals."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import mftkit
from mftkit.interfaces.engine import ProcessGroup
from mftkit.training.optimizer import check_engine
from small_runs import assert_same_numbers, comparable, metrics, rows, small_spec, train, write_rows

TRAINING = {"max_steps": 4, "batch_size": 4, "micro_batch_size": 2, "log_every": 1, "evaluate_every": 100}
GROUPS = [
    {"pattern": ["embed_tokens"], "learning_rate_scale": 0.5},
    {"pattern": r".*norm.*", "weight_decay": 0.1},
]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_rows(tmp_path / "data" / "big.jsonl", rows("big", 40))
    write_rows(tmp_path / "data" / "small.jsonl", rows("small", 16))
    return tmp_path


def spec(output: str, **training: Any) -> dict[str, Any]:
    return small_spec(
        output=output, training={**TRAINING, "checkpoint_every": 2, "keep_checkpoints": 9, **training}
    )


def run(project: Path, output: str, **training: Any) -> Path:
    mftkit.run(mftkit.load_spec(spec(output, **training), directory=project))
    return project / output


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model" / "model.safetensors")


def equal(run: Path, other: Path) -> bool:
    mine, theirs = weights(run), weights(other)
    return all(torch.equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.parametrize(
    "optimizer",
    ["adamw-8bit", "muon", {"name": "adafactor", "options": {"momentum": 0.9}}],
    ids=["adamw-8bit", "muon", "adafactor"],
)
def test_a_run_resumes_bit_for_bit(project: Path, optimizer: Any) -> None:
    settings = {"optimizer": optimizer, "scheduler": "wsd", "parameter_groups": GROUPS}
    whole = run(project, "run", **settings)
    shutil.move(whole, project / "whole")
    shutil.copytree(project / "whole", project / "run")
    write_rows(
        project / "run" / "metrics.jsonl",
        [line for line in metrics(project / "whole") if line["event"] != "end"],
    )
    shutil.rmtree(project / "run" / "checkpoints" / "step-00000004")
    again = run(project, "run", **settings)
    assert comparable(metrics(again)) == comparable(metrics(project / "whole"))
    assert equal(again, project / "whole")


def test_a_group_changes_only_its_own_parameters_in_the_first_step(project: Path) -> None:
    plain = weights(run(project, "plain", max_steps=1))
    scaled = weights(run(project, "scaled", max_steps=1, parameter_groups=GROUPS[:1]))
    changed = {name for name in plain if not torch.equal(plain[name], scaled[name])}
    assert changed == {"model.embed_tokens.weight"}


def test_another_optimizer_is_another_run(project: Path) -> None:
    run(project, "run", max_steps=1)
    with pytest.raises(mftkit.MftError, match=r"training\.optimizer"):
        run(project, "run", max_steps=2, optimizer="muon")


def test_a_pattern_without_parameters_is_refused_before_anything_is_written(project: Path) -> None:
    with pytest.raises(
        mftkit.MftError, match=r'parameter_groups\.0\.pattern: "embed" matches no trained parameter'
    ):
        run(project, "run", parameter_groups=[{"pattern": ["embed"]}])
    assert not (project / "run").exists()


@pytest.mark.parametrize("engine", ["fsdp2", "deepspeed"])
def test_divided_parameters_are_refused(engine: str) -> None:
    made = mftkit.build_component(mftkit.Engine, engine)
    made.name, made.processes = engine, ProcessGroup(2, 0, torch.device("cpu"))
    muon = mftkit.build_component(mftkit.Optimizer, "muon")
    message = f"muon needs each parameter whole, and the engine {engine} divides what is trained"
    with pytest.raises(mftkit.MftError, match=message):
        check_engine("muon", muon, made, 2, frozen_base=False)
    if engine == "fsdp2":  # adapters of a frozen base are whole in each process
        check_engine("muon", muon, made, 2, frozen_base=True)
    check_engine("adamw", mftkit.build_component(mftkit.Optimizer, "adamw"), made, 2, frozen_base=False)


@pytest.mark.engines
def test_two_processes_train_as_one_with_muon(project: Path) -> None:
    settings = {"optimizer": "muon", "micro_batch_size": 1}
    one = train(project, no_dropout(spec("one", **settings)))
    two = train(project, no_dropout(spec("two", **settings)), "--processes", "2")
    assert_same_numbers(one, two, rel=1e-3)


def no_dropout(made: dict[str, Any]) -> dict[str, Any]:
    made["model"]["config"]["attention_dropout"] = 0.0
    return made
