"""Time, memory and speed of a run, from the lines of its metrics."""

from __future__ import annotations

from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING

from mftkit.base.formatting import duration, size, whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mftkit.reporting.lines import TrainLine, ValidLine
    from mftkit.runs.record import RunRecord


def measures(run: RunRecord) -> list[tuple[str, str]]:
    """Facts about time, memory and speed; a run of an earlier version has only some of them."""
    return [*_times(run), *_memory(run), *_speed(run)]


def flops_per_token(parameters: int, trainable: int) -> int:
    """The estimated floating-point operations of a training step per token.

    Two per parameter in the forward pass, two for the gradient of what the layers read, and two per trained parameter
    for its own gradient: 6 N per token if all of N parameters are trained, and little more than 4 N with adapters.
    Attention between tokens and repeated forward passes are not counted.

    >>> flops_per_token(100, 100), flops_per_token(101, 1)
    (600, 406)
    """
    return 4 * parameters + 2 * trainable


def _lines(run: RunRecord) -> list[TrainLine | ValidLine]:
    return [*run.train, *run.valid]


def _times(run: RunRecord) -> Iterable[tuple[str, str]]:
    stamped = [(line, moment) for line in _lines(run) if (moment := _moment(line.time))]
    if stamped:
        first, start = min(stamped, key=lambda pair: pair[1])
        began = start.timestamp() - (first.seconds or 0.0)
        end = max(moment for _, moment in stamped)
        yield "started", _date(datetime.fromtimestamp(began, UTC))
        yield "ended" if run.end else "last number", _date(end)
        yield "from start to end" if run.end else "since the start", duration(end.timestamp() - began)
    parts: list[tuple[str, Sequence[TrainLine | ValidLine]]] = [
        ("training time", run.train),
        ("validation time", run.valid),
    ]
    for name, lines in parts:
        seconds = [line.seconds for line in lines if line.seconds is not None]
        if seconds:
            yield name, duration(sum(seconds))


def _memory(run: RunRecord) -> Iterable[tuple[str, str]]:
    peaks = [line.peak_memory_bytes for line in _lines(run) if line.peak_memory_bytes]
    if peaks:
        device = run.environment.get("device")
        on_gpu = isinstance(device, dict) and device.get("type") == "cuda"
        yield f"peak memory of the {'GPU' if on_gpu else 'process'}", size(max(peaks))


def _speed(run: RunRecord) -> Iterable[tuple[str, str]]:
    speeds = [line.tokens_per_second for line in run.train if line.tokens_per_second is not None]
    if not speeds:
        return
    middle = median(speeds)
    yield "tokens per second, median", whole(middle)
    parameters, trainable = run.plan.get("parameters"), run.plan.get("trainable")
    routed = any(line.auxiliary_loss is not None for line in run.train)  # not all experts work on each token
    if isinstance(parameters, int) and isinstance(trainable, int) and not routed:
        yield "TFLOP/s, estimated", f"{middle * flops_per_token(parameters, trainable) / 1e12:.3g}"


def _moment(text: str | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _date(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
