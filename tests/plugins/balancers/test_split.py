"""The weights are those of the global batch: the same however a step is split into processes and micro-batches."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import mftkit
from adaptive_balancers import ADAPTIVE
from mftkit.batches.batcher import Batcher
from mftkit.batches.sampler import GlobalBatch
from mftkit.plugins import installed, kinds
from mftkit.training.balancing import Balancing
from mftkit.training.meter import Meter
from mftkit.training.objective import Objective
from mftkit.training.train_step import TrainStep
from mftkit.training.validation import Validator
from sample_lists import SampleList
from thread_processes import in_threads

TASKS = tuple(mftkit.TaskInfo(name, samples=9, tokens=40, valid_samples=5) for name in "abc")
STEPS, ROWS, VOCABULARY = 6, 4, 7


def samples(count: Any, seed: Any) -> Any:
    """Task a likes low tokens, c high ones; c is rare."""
    generator = np.random.default_rng(seed)
    made = []
    for i in range(count):
        task = (0, 1, 0, 1, 2)[i % 5]
        tokens = generator.integers(task * 2, task * 2 + 3, 2 + i % 4).astype(np.int32)
        made.append(mftkit.Sample(i, task, tokens, np.ones(len(tokens), bool)))
    return SampleList(made)


class Unigram(nn.Module):
    """A token's log-probability, whatever stands before it."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.linspace(0, 1, VOCABULARY, dtype=torch.float64))

    def forward(self, batch: Any, _factors: Any = None) -> Any:
        return torch.log_softmax(self.scores, 0)[batch.targets], None


def steps(data: Any) -> Iterator[Any]:
    """Four rows a step, the third step without task c and the fourth without a."""
    rows = [[0, 1, 2, 4], [5, 6, 8, 9], [10, 11, 12, 13], [1, 3, 4, 6], [14, 15, 16, 17], [18, 19, 0, 1]]
    for number, members in enumerate(rows, start=1):
        task, count = data.task[members], len(TASKS)
        yield GlobalBatch(
            number=number,
            epoch=0,
            ends_epoch=False,
            rows=[np.array([i]) for i in members],
            tokens=np.bincount(task, data.loss_tokens[members], count).astype(float),
            samples=np.bincount(task, minlength=count).astype(float),
        )


def train(name: str, loss: str, processes: int, micro: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights of every step [steps, tasks], and the parameters at the end; the same in every process."""

    def work(process: Any) -> Any:
        model: Any = Unigram()
        data = samples(20, 0)
        objective = Objective(installed.build(kinds.LOSS, loss, {}, TASKS), len(TASKS))
        passes = Batcher(process, micro, 8, 0)
        validator = Validator(samples(15, 1), len(TASKS), passes, torch.float64)
        component = ADAPTIVE[name]
        balancing = Balancing(
            installed.build(kinds.BALANCER, component["name"], component.get("options", {}), TASKS),
            len(TASKS),
            lambda number, per_task: validator.minibatch_losses(model, objective, number, per_task),
        )
        mode = installed.build(kinds.TOKENIZATION_MODE, "dynamic-padding", {})
        engine = process.engine(model, torch.optim.SGD(model.parameters(), lr=1.0, fused=True))
        runner = TrainStep(model, data, mode, objective, balancing, engine, passes, None)
        weights = []
        for step in steps(data):
            balancing.before_step(step.number)
            result = runner(step, 1.0, Meter(len(TASKS), torch.device("cpu"), torch.float64))
            balancing.after_step(step.number, result.task_losses, result.losses_after_update)
            weights.append(result.weights)
        return torch.stack(weights), model.scores.detach()

    every = in_threads(processes, work)
    for weights, scores in every[1:]:
        assert torch.equal(weights, every[0][0])
        torch.testing.assert_close(scores, every[0][1])
    found: tuple[torch.Tensor, torch.Tensor] = every[0]
    return found


@pytest.mark.parametrize("loss", ["token-balanced", "task-focal"])
@pytest.mark.parametrize("name", ADAPTIVE)
def test_one_process_of_four_micro_batches_two_of_two_and_four_of_one(name: str, loss: str) -> None:
    weights, scores = train(name, loss, 1, ROWS)  # all at once: no first pass
    assert (weights[-1] - 1).abs().max() > 1e-3, "they move"
    for processes, micro in ((1, 1), (2, 1), (4, 1)):
        other_weights, other_scores = train(name, loss, processes, micro)
        torch.testing.assert_close(other_weights, weights, rtol=1e-10, atol=0)
        torch.testing.assert_close(other_scores, scores, rtol=1e-10, atol=0)
