"""Every engine, with every split into processes, gives the numbers of one process: losses, gradients, validations."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from engine_matrix import CELLS, FEW, prepare
from forked import run_forked
from small_runs import comparable, metrics

if TYPE_CHECKING:
    from pathlib import Path

ENGINES: dict[str, tuple[str, dict[str, Any]]] = {
    "ddp": ("float64", {}),
    "fsdp2": ("float64", {}),
}


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


def check(project: Path, name: str, cells: Any, counts: tuple[int, ...], rel: float) -> None:
    """Compare every number of every line with those of the single process."""
    for cell in cells:
        one = comparable(metrics(project / "runs" / f"single-1-{'-'.join(cell)}"))
        assert one[-1]["reason"] == "finished"
        assert len(one) == 8
        for count in counts:
            run = project / "runs" / f"{name}-{count}-{'-'.join(cell)}"
            several = comparable(metrics(run))
            assert len(one) == len(several)
            for mine, theirs in zip(one, several, strict=True):
                mine, theirs = flat(mine), flat(theirs)
                assert mine.keys() == theirs.keys()
                numbers = [key for key, value in mine.items() if isinstance(value, float)]
                assert [theirs[key] for key in numbers] == pytest.approx(
                    [mine[key] for key in numbers], rel=rel
                ), f"{run.name}: {mine['event']} {mine.get('step')}"
                assert all(mine[key] == theirs[key] for key in mine if key not in numbers)
            used = json.loads((run / "environment.json").read_text())
            assert used["processes"] == count
            assert used["engine"] == name.partition("+")[0]


def flat(value: Any, place: str = "") -> dict[str, Any]:
    """All numbers and words of a line by their places; the padding depends on the split."""
    if not isinstance(value, dict):
        return {place: value}
    found: dict[str, Any] = {}
    for key, each in value.items():
        if key != "padding":
            found |= flat(each, f"{place}.{key}" if place else key)
    return found


@pytest.mark.long
def test_engines_give_the_numbers_of_one_process(project: Path) -> None:
    """A few cells of the matrix."""
    trained(project, "single", FEW, (1,), "float64")
    for name, (dtype, options) in ENGINES.items():
        if dtype == "float64":
            trained(project, name, FEW, (2,), dtype, **options)
            check(project, name, FEW, (2,), rel=1e-9)


@pytest.mark.engines
@pytest.mark.parametrize("name", ENGINES)
def test_the_matrix(project: Path, name: str) -> None:
    dtype, options = ENGINES[name]
    trained(project, "single", CELLS, (1,), dtype)
    trained(project, name, CELLS, (2, 4), dtype, **options)
    check(project, name, CELLS, (2, 4), rel=1e-9 if dtype == "float64" else 2e-5)
