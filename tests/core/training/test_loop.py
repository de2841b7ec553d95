"""What a step does beside its loss, which tests/plugins/losses/test_exact.py compares with the formulas."""

import math
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import nn

import mftkit
from mftkit.batches.batcher import Batcher
from mftkit.batches.sampler import GlobalBatch
from mftkit.plugins import installed, kinds
from mftkit.training.balancing import Balancing, weights_of
from mftkit.training.meter import Meter
from mftkit.training.nonfinite import NonFiniteLossError
from mftkit.training.objective import Objective
from mftkit.training.train_step import TrainStep
from mftkit_registry import MftError
from sample_lists import SampleList
from thread_processes import in_threads

TASKS = (mftkit.TaskInfo("a"), mftkit.TaskInfo("b"))


def no_validation(_step: int, _number: int) -> torch.Tensor:
    raise AssertionError("no balancer here reads validation losses")


class Scorer(nn.Module):
    """Each token's log-probability is a trained number times the token, and its auxiliary loss is another one."""

    def __init__(self, auxiliary: bool = False) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(-1.0, dtype=torch.float64))
        self.router = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))
        self.auxiliary = auxiliary

    def forward(self, batch: Any, _factors: Any = None) -> Any:
        extra = self.router.square() if self.auxiliary else None
        return self.slope * batch.targets.double() + 0 * self.router, extra


def samples() -> list[mftkit.Sample]:
    return [
        mftkit.Sample(i, i % 2, np.array([1, 2, 3, 4][: 2 + i % 3], np.int32), np.ones(2 + i % 3, bool))
        for i in range(5)
    ]


def step(number: int = 1) -> Any:
    every = samples()
    return GlobalBatch(
        number=number,
        epoch=0,
        ends_epoch=True,
        rows=[np.array([i]) for i in range(len(every))],
        tokens=np.array([sum(len(s.tokens) - 1 for s in every if s.task == task) for task in (0, 1)], float),
        samples=np.array([3.0, 2.0]),
    )


def train(
    *,
    processes: int = 1,
    micro: int = 2,
    rate: float = 0.5,
    max_norm: float | None = None,
    scorer: type[Any] = Scorer,
    **options: Any,
) -> list[Any]:
    """One step; every process's model, result and step."""

    def work(process: Any) -> Any:
        model = scorer(**options)
        objective = Objective(installed.build(kinds.LOSS, "mixed", {}, TASKS), 2)
        balancer = installed.build(kinds.BALANCER, "equal", {}, TASKS)
        train_step = TrainStep(
            model,
            cast(Any, SampleList(samples())),
            installed.build(kinds.TOKENIZATION_MODE, "padding", {}),
            objective,
            Balancing(balancer, 2, no_validation),
            process.engine(model, torch.optim.SGD(model.parameters(), lr=99.0, fused=True)),
            Batcher(process, micro, 8, 0),
            max_norm,
        )
        result = train_step(step(), rate, Meter(2, torch.device("cpu"), torch.float64))
        return model, result, train_step

    return in_threads(processes, work)


# Token 2 five times, token 3 three times and 4 once; the gradient of the mean -lp at the slope is minus their mean.
MEAN = (5 * 2 + 3 * 3 + 1 * 4) / 9


def test_the_mean_is_as_stated() -> None:
    targets = [int(token) for sample in samples() for token in sample.tokens[1:]]
    assert sum(targets) / len(targets) == MEAN


def test_the_update_is_made_with_the_steps_own_learning_rate() -> None:
    ((model, result, _),) = train(rate=0.5)
    assert float(result.objective) == pytest.approx(MEAN)
    assert float(model.slope.detach()) == pytest.approx(-1 + 0.5 * MEAN)
    assert model.slope.grad is None, "gradients are dropped after the step"


def test_the_gradient_is_clipped_and_its_norm_reported_unclipped() -> None:
    ((model, result, _),) = train(rate=1.0, max_norm=0.25)
    assert float(result.grad_norm) == pytest.approx(MEAN)
    assert float(model.slope.detach()) == pytest.approx(-0.75, abs=1e-5)


def test_without_a_limit_no_gradient_is_clipped() -> None:
    ((model, result, _),) = train(rate=1.0, max_norm=None)
    assert float(result.grad_norm) == pytest.approx(MEAN)
    assert float(model.slope.detach()) == pytest.approx(-1 + MEAN)


@pytest.mark.parametrize(("processes", "micro"), [(1, 1), (1, 2), (1, 5), (2, 1), (2, 3), (4, 1)])
def test_an_auxiliary_loss_is_its_mean_over_tokens_whatever_the_split(processes: int, micro: int) -> None:
    every = train(processes=processes, micro=micro, rate=0.5, auxiliary=True)
    for model, result, _ in every:
        assert float(result.objective) == pytest.approx(MEAN + 4.0)
        assert float(model.router.detach()) == pytest.approx(2.0 - 0.5 * 4.0)
    assert sum(float(result.router_loss) for _, result, _ in every) == pytest.approx(4.0)


def test_without_an_auxiliary_loss_none_is_reported() -> None:
    ((_, result, _),) = train()
    assert result.router_loss is None


class Broken(Scorer):
    """One token's log-probability is not a number."""

    def forward(self, batch: Any, _factors: Any = None) -> Any:
        logprobs, extra = super().forward(batch)
        return torch.where(batch.targets == 4, torch.nan, logprobs), extra


def test_an_update_that_is_not_finite_is_left_out_by_the_fused_kernel() -> None:
    ((model, result, train_step),) = train(scorer=Broken)
    assert math.isnan(float(result.objective))
    assert float(model.slope.detach()) == -1.0
    assert float(model.router.detach()) == 2.0
    with pytest.raises(NonFiniteLossError) as fault:
        train_step.guard.check(lambda _: torch.tensor([True, True]))
    assert fault.value.samples == [2]


class Weights(mftkit.Balancer):
    """Gives what it was made with."""

    def weights(self) -> Any:
        return self.options


@pytest.mark.parametrize("given", [[1.0, 2.0], torch.ones(3), torch.ones(2, 1), None])
def test_weights_of_another_shape_are_refused(given: list[float] | torch.Tensor | None) -> None:
    with pytest.raises(MftError, match=r"Weights.weights\(\) must return a tensor of shape \(2,\)"):
        weights_of(Weights(given, TASKS), 2)


def test_the_weights_mean_is_one() -> None:
    assert weights_of(Weights(torch.tensor([1.0, 3.0]), TASKS), 2).tolist() == [0.5, 1.5]
