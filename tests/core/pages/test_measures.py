from __future__ import annotations

from pathlib import Path

from mftkit.pages.measures import measures
from mftkit.reporting.lines import EndLine, TaskTraining, TrainLine, ValidLine
from mftkit.reporting.plan import PlanJson
from mftkit.runs.record import RunRecord

TASKS = {"a": TaskTraining(1.0, 1.0, 10, 1)}


def record(train: list[TrainLine], valid: list[ValidLine], plan: PlanJson, device: str = "cpu") -> RunRecord:
    end = EndLine("finished", 20)
    return RunRecord(Path("run"), {}, {"device": {"type": device}}, plan, train, valid, end)


def line(step: int, time: str, auxiliary_loss: float | None = None) -> TrainLine:
    return TrainLine(
        step,
        0.1,
        2.0,
        TASKS,
        tokens_per_second=1000.0,
        auxiliary_loss=auxiliary_loss,
        time=time,
        seconds=30.0,
        peak_memory_bytes=2**31,
    )


def test_time_memory_and_speed() -> None:
    train = [line(10, "2026-01-02T03:04:30.000+00:00"), line(20, "2026-01-02T04:05:00.000+01:00")]
    valid = [
        ValidLine(20, 2.0, {}, time="2026-01-02T03:06:00.500+00:00", seconds=45.0, peak_memory_bytes=2**32)
    ]
    plan: PlanJson = {"parameters": 1_000_000_000, "trainable": 10_000_000}
    assert measures(record(train, valid, plan, "cuda")) == [
        ("started", "2026-01-02 03:04 UTC"),
        ("ended", "2026-01-02 03:06 UTC"),
        ("from start to end", "0:02:00"),
        ("training time", "0:01:00"),
        ("validation time", "0:00:45"),
        ("peak memory of the GPU", "4.0 GiB"),
        ("tokens per second, median", "1,000"),
        ("TFLOP/s, estimated", "4.02"),
    ]


def test_a_mixture_of_experts_has_no_estimate() -> None:
    facts = dict(measures(record([line(10, "-", auxiliary_loss=0.1)], [], {"parameters": 8, "trainable": 8})))
    assert "TFLOP/s, estimated" not in facts
    assert "started" not in facts  # a time that cannot be read


def test_a_run_of_an_earlier_version_has_what_it_wrote() -> None:
    old = TrainLine(10, 0.1, 2.0, TASKS, tokens_per_second=10.0)
    assert measures(record([old], [], {})) == [("tokens per second, median", "10")]
