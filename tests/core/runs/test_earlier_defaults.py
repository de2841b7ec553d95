"""A run that was started with a default of an earlier version keeps it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import mftkit
from mftkit.runs.earlier_defaults import with_earlier_defaults
from small_runs import small_spec


def spec(directory: Path, learning_rate: float | None) -> Any:
    made = small_spec(training={"min_learning_rate": 0.0})
    del made["training"]["learning_rate"]
    if learning_rate is not None:
        made["training"]["learning_rate"] = learning_rate
    return mftkit.load_spec(made, directory=directory)


@pytest.mark.parametrize(
    ("before", "now", "kept"),
    [(1e-4, None, 1e-4), (3e-4, None, 1e-5), (1e-4, 1e-5, 1e-5), (None, None, 1e-5)],
)
def test_the_learning_rate(before: float | None, now: float | None, kept: float, tmp_path: Path) -> None:
    found, notes = with_earlier_defaults(spec(tmp_path, now), spec(tmp_path, before).dump())
    assert found.training.learning_rate == kept
    assert [note[:46] for note in notes] == ["training.learning_rate: the run keeps 0.0001, "] * (
        kept == 1e-4
    )


@pytest.mark.parametrize(
    ("before", "now", "kept"), [("pack", None, "pack"), ("padding", None, "auto"), ("pack", "auto", "auto")]
)
def test_the_tokenization(before: str, now: str | None, kept: str, tmp_path: Path) -> None:
    started = mftkit.load_spec(small_spec(tokenization=before), directory=tmp_path).dump()
    given = mftkit.load_spec(small_spec(**({"tokenization": now} if now else {})), directory=tmp_path)
    found, notes = with_earlier_defaults(given, started)
    assert found.tokenization.name == kept
    assert notes == ["tokenization: the run keeps pack, the default with which it was started (now auto)"] * (
        kept == "pack"
    )


def test_no_run_is_there(tmp_path: Path) -> None:
    given = spec(tmp_path, None)
    assert with_earlier_defaults(given, None) == (given, [])
