"""The lines that training writes to metrics.jsonl, made from what the loop measured."""

from __future__ import annotations

from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import torch

from mftkit.reporting.lines import (
    EvaluationLine,
    RollbackLine,
    TaskTraining,
    TaskValidation,
    TrainLine,
    ValidLine,
)
from mftkit.training.memory import peak_memory_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from mftkit.processes import Processes
    from mftkit.reporting.lines import MetricPoint
    from mftkit.training.meter import Meter
    from mftkit.training.step_result import StepResult
    from mftkit.training.validation_history import Rollback


def train_line(
    meter: Meter,
    processes: Processes,
    task_names: Sequence[str],
    *,
    step: int,
    epoch: float,
    learning_rate: float,
    seconds: float,
    result: StepResult,
    balancer: Mapping[str, float | None] = MappingProxyType({}),
    shares: Mapping[str, float] = MappingProxyType({}),
    compiled: int | None = None,
) -> TrainLine:
    """The train line of the steps since the last one; every process must call it.

    Args:
        meter: the sums over these steps.
        processes: whose sums are added up.
        task_names: in the order of the tasks' indices.
        step: the last of these steps.
        epoch: epochs done, with the started one's share.
        learning_rate: of the last step.
        seconds: spent in these steps by this process; the line has the longest of all processes.
        result: of the last step.
        balancer: its own metrics, after the last step.
        shares: of the samples, by task, in the last step's interval; empty if they do not change.
        compiled: graphs that this process has compiled; None if it compiles none.
    """
    positions_and_tokens = torch.tensor(
        [meter.positions, meter.real_tokens], dtype=meter.nll.dtype, device=meter.nll.device
    )
    nll = processes.sum(meter.nll).cpu().double()
    positions, real_tokens = processes.sum(positions_and_tokens).tolist()
    seconds, peak = _time_and_memory(processes, seconds)
    return TrainLine(
        step=step,
        epoch=round(epoch, 6),
        loss=float(meter.objective) / meter.steps,
        tasks=_tasks(meter, task_names, nll, result.weights.tolist()),
        learning_rate=learning_rate,
        grad_norm=float(result.grad_norm),
        tokens_per_second=round(real_tokens / max(seconds, 1e-9), 1),
        padding=1 - real_tokens / positions,
        auxiliary_loss=None if result.router_loss is None else float(processes.sum(result.router_loss)),
        balancer=dict(balancer),
        shares=dict(shares),
        compiled=compiled,
        time=_now(),
        seconds=seconds,
        peak_memory_bytes=peak,
    )


def _tasks(
    meter: Meter, task_names: Sequence[str], nll: Tensor, weights: Sequence[float]
) -> dict[str, TaskTraining]:
    return {
        name: TaskTraining(
            loss=float(nll[i] / meter.tokens[i]) if meter.tokens[i] else None,
            weight=weights[i],
            tokens=int(meter.tokens[i]),
            samples=int(meter.samples[i]),
        )
        for i, name in enumerate(task_names)
    }


def valid_line(
    processes: Processes,
    task_names: Sequence[str],
    *,
    step: int,
    losses: Sequence[float],
    tokens: NDArray[np.float64],
    seconds: float,
) -> ValidLine:
    """The valid line of a step; every process must call it.

    Args:
        processes: whose memory is compared.
        task_names: in the order of the tasks' indices.
        step: optimizer steps done.
        losses: of each task, nats per token.
        tokens: number of loss tokens of each task; a task with 0 is left out.
        seconds: spent in the validation by this process; the line has the longest of all processes.
    """
    seconds, peak = _time_and_memory(processes, seconds)
    tasks = {
        name: TaskValidation(loss=float(loss), tokens=int(count))
        for name, loss, count in zip(task_names, losses, tokens, strict=True)
        if count
    }
    mean = float(np.mean([loss for loss, count in zip(losses, tokens, strict=True) if count]))
    return ValidLine(step, mean, tasks, time=_now(), seconds=seconds, peak_memory_bytes=peak)


def evaluation_line(
    processes: Processes, *, step: int, tasks: dict[str, dict[str, MetricPoint]], seconds: float
) -> EvaluationLine:
    """The evaluation line of a step; every process must call it.

    Args:
        processes: whose memory is compared.
        step: optimizer steps done.
        tasks: metrics by task and "EVALUATOR/METRIC".
        seconds: spent by this process; the line has the longest of all processes.
    """
    seconds, peak = _time_and_memory(processes, seconds)
    return EvaluationLine(step, tasks, time=_now(), seconds=seconds, peak_memory_bytes=peak)


def rollback_line(rollback: Rollback, task_names: Sequence[str], best: int) -> RollbackLine:
    """The line of a roll-back; ``best`` is the task's best step, whose checkpoint may be lost."""
    lost = None if best == rollback.to else best
    return RollbackLine(rollback.step, rollback.to, task_names[rollback.task], lost, _now())


def _time_and_memory(processes: Processes, seconds: float) -> tuple[float, int]:
    """The seconds of the slowest process, and the peak memory of the one that used most."""
    own = (round(seconds, 6), peak_memory_bytes(processes.device))
    each = processes.gather(own)
    return max(spent for spent, _ in each), max(peak for _, peak in each)


def _now() -> str:
    """The time in UTC.

    >>> len(_now()), _now()[-6:]
    (29, '+00:00')
    """
    return datetime.now(UTC).isoformat(timespec="milliseconds")
