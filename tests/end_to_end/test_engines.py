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
