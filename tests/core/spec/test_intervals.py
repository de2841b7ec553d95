"""Times in a spec, and what the JSON Schema says of them and of keys that may change."""

from __future__ import annotations

from typing import Any

import pytest

from mftkit.spec import Spec, TrainingSpec
from mftkit.spec.intervals import time_in_seconds


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (5, 5),
        ("epoch", "epoch"),
        ("20min", "20 min"),
        (" 2 h", "2 h"),
        (["epoch", "90 s"], ["epoch", "90 s"]),
        ([10], [10]),
    ],
)
def test_an_interval_is_kept_as_it_can_be_read_again(given: Any, kept: Any) -> None:
    read = TrainingSpec(checkpoint_every=given)
    assert read.checkpoint_every == kept
    assert TrainingSpec(**read.model_dump(mode="json")) == read


def test_units() -> None:
    assert [time_in_seconds(each) for each in ("90 s", "20 min", "0.5 h", "epoch", 3)] == [
        90,
        1200,
        1800,
        None,
        None,
    ]


def test_the_schema_says_what_may_change() -> None:
    properties = Spec.model_json_schema()["$defs"]["TrainingSpec"]["properties"]
    assert properties["micro_batch_size"]["x-on-resuming"] == "may change"
    assert "x-on-resuming" not in properties["batch_size"]
