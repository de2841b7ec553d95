"""What is said of a run that resumes elsewhere, or divided otherwise."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from mftkit.tools.resuming.environment_changes import describe_environment_changes, environment_changes

BEFORE: dict[str, Any] = {
    "packages": {"torch": "2.12"},
    "device": {"type": "cpu"},
    "dtype": "float32",
    "processes": 2,
    "engine": "first",
    "sharding": {"replicas": 1, "shards": 2},
    "components": [{"kind": "engine", "name": "first"}, {"kind": "loss", "name": "plain"}],
}
PLAIN = nn.Linear(2, 2)
DROPOUT = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1))


def said(model: nn.Module = PLAIN, **now: Any) -> list[str]:
    return list(describe_environment_changes(environment_changes(BEFORE, {**BEFORE, **now}), model))


@pytest.mark.parametrize(
    ("now", "sentence"),
    [
        (
            {"processes": 4, "engine": "other", "sharding": {"replicas": 4, "shards": 1}},
            "resumes with 4 processes (2 before) and engine other (first before), so the last digits may differ",
        ),
        (
            {"processes": 1, "engine": "single process", "sharding": {"replicas": 1, "shards": 1}},
            "resumes with 1 process (2 before), so the last digits may differ",
        ),
        (
            {"sharding": {"replicas": 2, "shards": 1}},
            "resumes with replicas 2 (1 before) and shards 1 (2 before), so the last digits may differ",
        ),
        (
            {"engine": "other", "components": [{"kind": "loss", "name": "plain"}]},
            "resumes with engine other (first before), so the last digits may differ",
        ),
        (
            {"packages": {"torch": "2.13"}},
            "resuming in another environment, so the last digits may differ: "
            'packages.torch: "2.12" -> "2.13"',
        ),
    ],
)
def test_each_change_is_one_sentence(now: dict[str, Any], sentence: str) -> None:
    assert said(**now) == [sentence]


def test_nothing_is_said_where_nothing_changed() -> None:
    assert said() == []
    assert said(components=[{"kind": "loss", "name": "plain"}, {"kind": "tracker", "name": "new"}]) == []
    assert list(describe_environment_changes(environment_changes({}, BEFORE), PLAIN)) == []


def test_dropout_is_named_where_other_processes_draw_it() -> None:
    assert said(DROPOUT, processes=4)[0].endswith("may differ, and dropout draws other masks")
    assert "masks" not in said(DROPOUT, engine="other")[0]
    assert "masks" not in said(nn.Sequential(nn.Dropout(0.0)), processes=4)[0]


def test_components_that_decide_are_still_compared() -> None:
    assert "another environment" in said(components=[{"kind": "loss", "name": "other"}])[0]
