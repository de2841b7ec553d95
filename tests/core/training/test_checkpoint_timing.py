"""When a checkpoint is due, by a clock that the test sets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mftkit.batches.sampler import GlobalBatch
from mftkit.training.checkpoint_timing import CheckpointTiming


def batch(number: int, *, ends_epoch: bool = False) -> GlobalBatch:
    none = np.zeros(0)
    return GlobalBatch(number, 0, ends_epoch, rows=[], tokens=none, samples=none)


@pytest.mark.parametrize(
    ("every", "number", "ends_epoch", "due"),
    [
        (3, 6, False, True),
        (3, 7, True, False),
        ("epoch", 7, True, True),
        (["epoch", 5], 10, False, True),
        (["epoch", "20 min"], 10, False, False),
        ("20 min", 10, True, False),
    ],
)
def test_steps_and_epochs(every: Any, number: int, ends_epoch: bool, due: bool) -> None:
    assert CheckpointTiming(every).is_due_after(batch(number, ends_epoch=ends_epoch)) is due


def test_the_shortest_time_since_the_last_checkpoint() -> None:
    now = [100.0]
    timing = CheckpointTiming(["epoch", "1 h", "1.5 min"], clock=lambda: now[0])
    now[0] += 89
    assert not timing.is_time()
    now[0] += 1
    assert timing.is_time()
    timing.restart()
    assert not timing.is_time()
    assert not CheckpointTiming(["epoch", 1], clock=lambda: 1e9).is_time()
