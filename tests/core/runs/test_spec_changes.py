"""Which differences between two specs are allowed on resuming."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import mftkit
from mftkit.runs.spec_changes import changes_between
from small_runs import small_spec


def dumped(directory: Path, **changes: Any) -> Any:
    return mftkit.load_spec(small_spec(**changes), directory=directory).dump()


def tasks(**changes: Any) -> list[dict[str, Any]]:
    return [{"name": "big", "train": ["a.jsonl"], "valid": 0.1, **changes}]


@pytest.mark.parametrize(
    ("before", "now", "key", "rule"),
    [
        ({}, {"name": "other"}, "name", "free"),
        ({}, {"seed": 8}, "seed", None),
        ({}, {"training": {"micro_batch_size": 2}}, "training.micro_batch_size", "free"),
        ({}, {"training": {"batch_size": 8}}, "training.batch_size", None),
        ({}, {"training": {"epochs": 3}}, "training.epochs", "end"),
        ({}, {"training": {"evaluate_every": 7}}, "training.evaluate_every", "validation"),
        ({}, {"trackers": [{"name": "tensorboard"}]}, "trackers", "free"),
        ({"tasks": tasks()}, {"tasks": tasks(train=["b.jsonl"])}, "tasks.0.train.0", "data"),
        ({"tasks": tasks()}, {"tasks": tasks(train=["a.jsonl", "b.jsonl"])}, "tasks.0.train", "data"),
        ({"tasks": tasks()}, {"tasks": tasks(valid=0.2)}, "tasks.0.valid", None),
        ({"tasks": tasks()}, {"tasks": tasks(valid=["b.jsonl"])}, "tasks.0.valid", None),
        (
            {"training": {"early_stopping": {"patience": 1}}},
            {"training": {"early_stopping": {"patience": 2}}},
            "training.early_stopping.patience",
            "end",
        ),
        (
            {"training": {"early_stopping": {"patience": 1, "criterion": "each"}}},
            {"training": {"early_stopping": {"patience": 2, "criterion": "each"}}},
            "training.early_stopping.patience",
            None,
        ),
        ({}, {"mixing": {"temperature": 2.0}}, "mixing", None),
        ({}, {"balancer": {"name": "fixed"}}, "balancer.name", None),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_each_key_has_its_rule(
    before: dict[str, Any], now: dict[str, Any], key: str, rule: str | None, tmp_path: Path
) -> None:
    (found,) = changes_between(dumped(tmp_path, **before), dumped(tmp_path, **now))
    assert (found.key, found.rule) == (key, rule)


def test_validations_decide_weights_where_tasks_stop_one_by_one(tmp_path: Path) -> None:
    stopping = {"early_stopping": {"patience": 1, "criterion": "each"}}
    one, other = (dumped(tmp_path, training={**stopping, "evaluate_every": n}) for n in (4, 5))
    assert [change.rule for change in changes_between(one, other)] == [None]


def test_a_path_among_the_options_of_a_filter_is_data_and_a_number_is_not(tmp_path: Path) -> None:
    def with_filter(**options: Any) -> Any:
        return dumped(tmp_path, tasks=tasks(filters=[{"name": "decontamination", "options": options}]))

    one = with_filter(references=["a.jsonl"])
    assert [change.rule for change in changes_between(one, with_filter(references=["b.jsonl"]))] == ["data"]
    changed = changes_between(one, with_filter(references=["b.jsonl"], words=9))
    assert {change.key.rpartition(".")[2]: change.rule for change in changed} == {"0": "data", "words": None}


def test_a_change_is_shown_as_json_on_one_line(tmp_path: Path) -> None:
    (change,) = changes_between(
        dumped(tmp_path), dumped(tmp_path, training={"checkpoint_every": ["epoch", "2 h"]})
    )
    assert str(change) == 'training.checkpoint_every: 3 -> ["epoch", "2 h"]'
    assert change.dump() == {"key": "training.checkpoint_every", "before": 3, "now": ["epoch", "2 h"]}
