"""A step makes no host wait for its device: here one whose tensors have no values, so that reading one raises."""

from contextlib import nullcontext
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import nn

import mftkit
from adaptive_balancers import ADAPTIVE
from mftkit.batches.batcher import Batcher
from mftkit.batches.sampler import GlobalBatch
from mftkit.interfaces.model import Head
from mftkit.plugins import installed, kinds
from mftkit.training.balancing import Balancing
from mftkit.training.logprobs import token_logprobs
from mftkit.training.meter import Meter
from mftkit.training.objective import Objective
from mftkit.training.train_step import TrainStep
from sample_lists import SampleList
from thread_processes import GradientRecorder, ThreadProcess, in_threads

TASKS = tuple(mftkit.TaskInfo(name) for name in ("a", "b", "c"))
DEVICE = torch.device("meta")
LOSSES = ["token-balanced", "sample-balanced", "sample-focal", "task-focal", "mixed"]
BALANCERS = {"equal": {"name": "equal"}, "fixed": {"name": "fixed"}, **ADAPTIVE}


class HeadModel(nn.Module):
    """Embedding and head, and an auxiliary loss."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.zeros(8, 4, device=DEVICE))
        self.head = nn.Parameter(torch.zeros(8, 4, device=DEVICE))

    def forward(self, batch: Any, factors: Any = None) -> Any:
        hidden = self.embedding[batch.input_ids.flatten()[batch.predictor_index]]
        head = Head(self.head, soft_cap=2.0)
        return token_logprobs(hidden, batch.targets, head, 3, factors), self.head.square().mean()


def make_step(loss: str, balancer: Any, micro: int, process: ThreadProcess) -> tuple[Any, Balancing]:
    process.device = DEVICE
    model = HeadModel()
    data = [
        mftkit.Sample(i, i % 3, np.arange(2 + i % 4, dtype=np.int32), np.ones(2 + i % 4, bool))
        for i in range(6)
    ]
    objective = Objective(installed.build(kinds.LOSS, loss, {}, TASKS), len(TASKS), device=DEVICE)
    balancing = Balancing(
        installed.build(kinds.BALANCER, balancer["name"], balancer.get("options", {}), TASKS),
        len(TASKS),
        lambda _number, _per_task: torch.ones(len(TASKS), dtype=torch.float64, device=DEVICE),
    )
    runner = TrainStep(
        model,
        cast(Any, SampleList(data)),
        installed.build(kinds.TOKENIZATION_MODE, "padding", {}),
        objective,
        balancing,
        process.engine(model, GradientRecorder(model.parameters())),
        Batcher(cast(Any, process), micro, 8, 0),
        1.0,
    )
    return runner, balancing


@pytest.mark.parametrize("micro", [2, 6])
@pytest.mark.parametrize(
    ("loss", "balancer"),
    [(loss, "equal") for loss in LOSSES]
    + [(loss, balancer) for loss in ("token-balanced", "task-focal") for balancer in BALANCERS],
)
def test_no_step_waits_for_its_device(
    loss: str, balancer: str, micro: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In several micro-batches and in one."""
    # Autocast does not know this device.
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda _device: False)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())

    def work(process: ThreadProcess) -> Any:
        runner, balancing = make_step(loss, BALANCERS[balancer], micro, process)
        meter = Meter(len(TASKS), DEVICE, torch.float64)
        for number in (1, 2, 3):
            rows = [np.array([i]) for i in range(6)]
            batch = GlobalBatch(number, 0, False, rows, np.array([5.0, 7.0, 3.0]), np.array([2.0, 2.0, 2.0]))
            balancing.before_step(number)
            result = runner(batch, 1e-3, meter)
            balancing.after_step(number, result.task_losses, result.losses_after_update)
        return result

    (result,) = in_threads(1, work)
    assert result.objective.device == DEVICE


@pytest.mark.parametrize("read", [float, bool, torch.Tensor.cpu, torch.Tensor.nonzero])
def test_the_device_notices_every_way_to_wait(read: Any) -> None:
    with pytest.raises((RuntimeError, NotImplementedError)):
        read(
            torch.ones((), device=DEVICE)
            if read is not torch.Tensor.nonzero
            else torch.ones(3, device=DEVICE)
        )
