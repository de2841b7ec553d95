"""Every engine, with every split into processes, gives the numbers of one process: losses, gradients, validations."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from engine_matrix import CELLS, dtype_of, prepare, run_name
from forked import run_forked
from small_runs import assert_same_numbers, metrics

if TYPE_CHECKING:
    from pathlib import Path

ENGINES: dict[str, tuple[str, dict[str, Any]]] = {
    "ddp": ("float64", {}),
    "fsdp2": ("float64", {}),
    "deepspeed+2": ("float32", {"stage": 2}),
    "deepspeed+3": ("float32", {"stage": 3}),
}


REFUSED = {"deepspeed+3": [("mixtral", "lora")]}
"""DeepSpeed cannot divide stacked experts that have an adapter."""
TOLERANCE = {"float64": 1e-9, "float32": 2e-5}
"""DeepSpeed and stacked experts train in float32, whose rounding AdamW enlarges over steps."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with data and tiny models."""
    made = tmp_path_factory.mktemp("engines")
    prepare(made)
    return made


def trained(
    project: Path, name: str, cells: Any, counts: tuple[int, ...], dtype: str, **options: Any
) -> None:
    run_forked(
        f"import engine_matrix\nengine_matrix.train({name!r}, {cells!r}, {dtype!r}, **{options!r})",
        counts,
        project,
    )


def check(project: Path, name: str, cells: Any, counts: tuple[int, ...], dtype: str) -> None:
    """Compare every number of every line with those of the single process."""
    for cell in cells:
        one = project / "runs" / run_name(cell, "single", 1, dtype)
        assert [line["event"] for line in metrics(one)] == [
            "valid",
            "train",
            "train",
            "valid",
            "train",
            "train",
            "valid",
            "end",
        ]
        for count in counts:
            run = project / "runs" / run_name(cell, name, count, dtype)
            assert_same_numbers(one, run, rel=TOLERANCE[dtype_of(cell, dtype)])
            used = json.loads((run / "environment.json").read_text())
            assert used["processes"] == count
            assert used["engine"] == name.partition("+")[0]


@pytest.mark.engines
@pytest.mark.parametrize("name", ENGINES)
def test_the_matrix(project: Path, name: str) -> None:
    dtype, options = ENGINES[name]
    cells = tuple(cell for cell in CELLS if cell[:2] not in REFUSED.get(name, ()))
    trained(project, "single", cells, (1,), dtype)
    trained(project, name, cells, (2, 4), dtype, **options)
    check(project, name, cells, (2, 4), dtype)


@pytest.mark.engines
def test_a_quantized_base_is_divided(project: Path) -> None:
    cells = (("llama", "qlora", "linear"),)
    trained(project, "single", cells, (1,), "float32")
    trained(project, "fsdp2", cells, (2,), "float32")
    check(project, "fsdp2", cells, (2,), "float32")


EVALUATES = """
import os
import mftkit
from engine_matrix import CELLS, spec_of
count = int(os.environ["WORLD_SIZE"])
engine = "fsdp2" if count > 1 else "single"
spec = {**spec_of(CELLS[0], engine, count, {}, "float64"), "output": f"evaluated-{count}"}
for task in spec["tasks"]:
    task["evaluate"] = {"evaluators": ["exact-match"], "max_new_tokens": 6, "limit": 3}
spec["evaluation"] = {"every": 2, "batch_size": 2}
spec["training"] |= {"max_steps": 2, "learning_rate": 0.02}
mftkit.run(mftkit.load_spec(spec))
"""


@pytest.mark.engines
def test_a_divided_model_generates_the_answers_of_a_whole_one(project: Path) -> None:
    """Before training, and after steps that change the answers."""
    run_forked(EVALUATES, (1, 2), project)
    answers: dict[int, Any] = {}
    for count in (1, 2):
        files = sorted((project / f"evaluated-{count}" / "evaluations").glob("step-*/*.jsonl"))
        lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
        answers[count] = [
            (line["source"], line["prompt"], line["answers"], line["verdicts"]) for line in lines
        ]
    assert answers[1] == answers[2]
    assert len(answers[1]) == 10  # of both tasks, before and after
    assert len({str(answer[2]) for answer in answers[1]}) > 2


AUTO = """
import mftkit
from mftkit.tools.plan import run_check
from engine_matrix import CELLS, spec_of
run_check.SMALL = 0
for name, memory in (("roomy", 10**9), ("narrow", 800_000)):
    run_check.device_memory = lambda _, memory=memory: memory
    spec = {**spec_of(CELLS[0], "single", 2, {}, "float32"), "output": name}
    spec["training"] |= {"max_steps": 1, "check_memory": False}
    mftkit.run(mftkit.load_spec(spec))
"""


@pytest.mark.engines
def test_auto_divides_a_model_whose_copies_do_not_fit(project: Path) -> None:
    run_forked(AUTO, (2,), project)
    used = {
        name: json.loads((project / name / "environment.json").read_text()) for name in ("roomy", "narrow")
    }
    assert {name: each["engine"] for name, each in used.items()} == {"roomy": "ddp", "narrow": "fsdp2"}
    assert used["narrow"]["sharding"]["shards"] == 2


NO_CHECKS = """
import mftkit
from engine_matrix import CELLS, spec_of
spec = {**spec_of(CELLS[0], "fsdp2", 2, {}, "float32"), "output": "short", "max_length": 32}
spec["training"] |= {"max_steps": 1}
mftkit.run(mftkit.load_spec(spec))
"""


@pytest.mark.engines
def test_a_divided_model_may_need_no_check_before_training(project: Path) -> None:
    """Rows hold one sample each, so no check of the loaded model runs a layer."""
    run_forked(NO_CHECKS, (2,), project)
    assert metrics(project / "short")[-1]["reason"] == "finished"
