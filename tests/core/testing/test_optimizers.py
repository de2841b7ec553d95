"""The suites for optimizers and schedules find what is wrong."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

import mftkit
import mftkit.testing


class Good(mftkit.Optimizer):
    elementwise_state = ("momentum_buffer",)

    def build(self, groups: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD([group.as_torch() for group in groups], momentum=0.9)

    def state_bytes(self, parameter: mftkit.TrainedParameter) -> int:
        return 4 * parameter.tensor.numel()


class Undecayed(Good):
    def build(self, groups: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD([group.as_torch(weight_decay=0.0) for group in groups], momentum=0.9)


class Climbs(Good):
    def build(self, groups: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD([group.as_torch() for group in groups], momentum=0.9, maximize=True)


class Hidden(torch.optim.SGD):
    steps = 0

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        self.steps += 1
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad.mul_(1 + self.steps / 10)
        super().step()


class Forgets(Good):
    def build(self, groups: Any) -> torch.optim.Optimizer:
        return Hidden([group.as_torch() for group in groups], momentum=0.9)


class OwnRate(Good):
    def build(self, groups: Any) -> torch.optim.Optimizer:
        optimizer = super().build(groups)
        step = optimizer.step

        def stubborn() -> None:
            for group in optimizer.param_groups:
                group["lr"] = 1e-3
            step()

        optimizer.step = stubborn  # type: ignore[method-assign, assignment]
        return optimizer


class Smaller(Good):
    def state_bytes(self, parameter: mftkit.TrainedParameter) -> int:
        return parameter.tensor.numel()


class Rows(torch.optim.SGD):
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad.div_(parameter.grad.norm())
        super().step()


class Whole(Good):
    def build(self, groups: Any) -> torch.optim.Optimizer:
        return Rows([group.as_torch() for group in groups], momentum=0.9)


def run(base: type[Any], component: type[Any]) -> dict[str, str]:
    """The messages of the checks that fail."""
    suite = type("Suite", (base,), {"component": component})()
    failed = {}
    for name in [name for name in dir(suite) if name.startswith("test_")]:
        try:
            getattr(suite, name)()
        except mftkit.testing.ConformanceError as error:
            failed[name] = str(error)
    return failed


@pytest.mark.parametrize(
    ("component", "check"),
    [
        (Good, None),
        (Undecayed, "test_each_parameter_once"),
        (Climbs, "test_it_learns"),
        (Forgets, "test_resumes_exactly"),
        (OwnRate, "test_follows_the_learning_rate"),
        (Smaller, "test_the_bytes_of_the_state"),
        (Whole, "test_elementwise_state"),
    ],
)
def test_what_is_wrong_with_an_optimizer_is_found(component: type[Any], check: str | None) -> None:
    failed = run(mftkit.testing.OptimizerConformance, component)
    assert list(failed) == ([] if check is None else [check])


class Half(mftkit.Schedule):
    def share(self, step: int, warmup: int, end: int) -> float:
        return 1 - (step - warmup) / (2 * (end - warmup))


class Negative(mftkit.Schedule):
    def share(self, step: int, warmup: int, end: int) -> float:
        return math.cos(math.pi * (step - warmup) / (end - warmup))


class Counts(mftkit.Schedule):
    calls = 0

    def share(self, step: int, warmup: int, end: int) -> float:
        self.calls += 1
        return 1 / self.calls


class Picky(Half):
    def check(self, warmup: int, end: int) -> None:
        raise mftkit.MftError("no run fits")


@pytest.mark.parametrize(
    ("component", "checks"),
    [
        (Half, []),
        (Negative, ["test_bounds"]),
        (Counts, ["test_depends_on_its_arguments_alone"]),
        (Picky, ["test_bounds"]),
    ],
)
def test_what_is_wrong_with_a_schedule_is_found(component: type[Any], checks: list[str]) -> None:
    assert list(run(mftkit.testing.ScheduleConformance, component)) == checks
