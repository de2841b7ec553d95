"""What does training several tasks add to plain cross-entropy, by the number of tasks?

A micro-batch has 4,096 loss tokens in 64 samples; CPU time of one thread. "per micro-batch" is what one more of them
adds to a step: statistics, the factors that the step knows before the forward pass, the backward pass to the
log-probabilities, the meter and the guard against numbers that are not finite, without the mean of the
log-probabilities and its backward pass, which plain cross-entropy needs, too. Of a first pass it is all but the forward
pass. "once per step" is the rest: counts, slopes and the value of the objective.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from bench.figures import Figure, alternating, main

from mftkit import Batch, TaskInfo
from mftkit.batches.sampler import GlobalBatch
from mftkit.plugins import installed, kinds
from mftkit.training.meter import Meter
from mftkit.training.nonfinite import NonFiniteGuard
from mftkit.training.objective import Objective

if TYPE_CHECKING:
    from collections.abc import Callable

QUESTION = "What does training several tasks add to plain cross-entropy?"
TOKENS, SAMPLES = 4096, 64
MICRO_BATCHES = 9
"""Of the longer of two steps, whose difference is that of all micro-batches but one."""
GOALS = {5: None, 16: 0.3, 32: None, 512: 1.5}
"""The most milliseconds, by the number of tasks."""
PEERS = {5: "0.68", 32: "1.65", 512: "29.7"}
LOSSES = ("token-balanced", "task-focal")


def measure(*, quick: bool) -> list[Figure]:
    """Milliseconds by loss and number of tasks."""
    torch.set_num_threads(1)
    repetitions, calls = (1, 1) if quick else (9, 20)
    return [
        figure for loss in LOSSES for tasks in GOALS for figure in _figures(loss, tasks, repetitions, calls)
    ]


def _figures(loss: str, tasks: int, repetitions: int, calls: int) -> list[Figure]:
    def many(call: Callable[[], None]) -> Callable[[], None]:
        return lambda: [call() for _ in range(calls)] and None

    variants = {
        "long": many(_step(loss, tasks, MICRO_BATCHES)),
        "short": many(_step(loss, tasks, 1)),
        "plain": many(_plain),
    }
    milliseconds = {name: 1000 * each / calls for name, each in alternating(variants, repetitions).items()}
    one = (milliseconds["long"] - milliseconds["short"]) / (MICRO_BATCHES - 1)
    peer = f"{PEERS[tasks]}, published multi-task toolkit" if tasks in PEERS else ""
    name = f"{loss}, {tasks} tasks"
    return [
        Figure(
            f"{name}, per micro-batch",
            one - milliseconds["plain"],
            "ms",
            at_most=GOALS[tasks],
            peer=peer,
        ),
        Figure(f"{name}, once per step", milliseconds["short"] - one, "ms"),
    ]


def _logprobs() -> torch.Tensor:
    return torch.linspace(-4, -0.1, TOKENS).requires_grad_()


def _plain() -> None:
    (-_logprobs().mean()).backward()


def _step(loss: str, tasks: int, micro_batches: int) -> Callable[[], None]:
    """A step of equal micro-batches, as ``TrainStep`` and ``Coefficients`` keep its books."""
    drawn = np.random.default_rng(0)
    of_sample = drawn.integers(0, tasks, SAMPLES)
    sample = np.repeat(np.arange(SAMPLES), TOKENS // SAMPLES)
    batch = Batch(
        input_ids=torch.zeros(1, TOKENS, dtype=torch.int64),
        position_ids=None,
        predictor_index=torch.arange(TOKENS),
        targets=torch.zeros(TOKENS, dtype=torch.int64),
        task=torch.from_numpy(of_sample[sample]),
        sample=torch.from_numpy(sample),
        sample_task=torch.from_numpy(of_sample),
        sample_index=tuple(range(SAMPLES)),
        real_tokens=TOKENS,
    )
    tokens = np.bincount(of_sample[sample], minlength=tasks).astype(np.float64)
    samples = np.bincount(of_sample, minlength=tasks).astype(np.float64)
    step = GlobalBatch(1, 0, ends_epoch=False, rows=[], tokens=tokens, samples=samples)
    infos = tuple(TaskInfo(str(i)) for i in range(tasks))
    objective = Objective(installed.build(kinds.LOSS, loss, {}, infos), tasks)
    weights = torch.ones(tasks, dtype=torch.float64)
    meter = Meter(tasks, torch.device("cpu"), torch.float64)
    passes, found = range(micro_batches), _logprobs().detach()

    def call() -> None:
        guard = NonFiniteGuard()
        counts = objective.counts(tokens, samples)
        totals = objective.zeros()
        first = [] if objective.linear else [objective.statistics_at(found, batch) for _ in passes]
        sums = sum((each.values.detach() for each in first), objective.zeros())
        slopes = objective.slopes(None if objective.linear else sums, counts, weights)
        for i in passes:
            logprobs = _logprobs()
            factors = first[i].factors(slopes) if first else objective.factors(batch, slopes)
            totals += first[i].values.detach() if first else objective.statistics(found, batch)
            (factors.to(logprobs.dtype) * logprobs).sum().backward()
            meter.add_micro_batch(logprobs, batch)
            guard.add_micro_batch(1, logprobs, batch)
        value, task_losses = objective.value(totals, counts, weights)
        guard.add_step(1, value, task_losses, value)
        meter.add_step(step, value)

    return call


if __name__ == "__main__":
    main(__spec__.name)
