"""How many threads a run on the CPU takes."""

import os
from pathlib import Path

import pytest

from mftkit.base import machine, threads
from mftkit.base.threads import SMALL, fitting_threads, usable_cores


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setattr(threads, "quota", lambda: None)


@pytest.mark.usefixtures("eight_cores")
@pytest.mark.parametrize(
    ("present", "size", "environment", "expected"),
    [
        (8, SMALL, {}, 8),
        (8, SMALL - 1, {}, 1),
        (8, 0, {}, 8),  # a model that does not say its size
        (8, SMALL, {"LOCAL_WORLD_SIZE": "4"}, 2),
        (8, SMALL, {"LOCAL_WORLD_SIZE": "32"}, 1),
        (16, SMALL, {}, 8),  # more than may run here
        (8, 1, {"OMP_NUM_THREADS": "8"}, None),
        (8, 1, {"MKL_NUM_THREADS": "8"}, None),
        (3, 1, {}, None),  # torch.set_num_threads(3): the user's own
    ],
)
def test_threads_fit_the_work_unless_the_user_has_set_them(
    present: int, size: int, environment: dict[str, str], expected: int | None
) -> None:
    assert fitting_threads(present, size, environment) == expected


@pytest.mark.usefixtures("eight_cores")
@pytest.mark.parametrize(
    ("limit", "expected"), [("250000 100000", 2), ("max 100000", 8), ("10000 100000", 1)]
)
def test_a_containers_limit_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, expected: int
) -> None:
    (tmp_path / "cpu.max").write_text(limit)
    monkeypatch.setattr(threads, "quota", lambda: machine.quota(tmp_path))
    assert usable_cores() == expected
