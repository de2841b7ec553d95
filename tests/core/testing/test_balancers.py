from typing import Any

import pytest
import torch

import mftkit
from mftkit.testing import BalancerConformance, ConformanceError


class Average(mftkit.Balancer):
    """A moving average, as it should be."""

    def __init__(self, options: mftkit.Options, tasks: tuple[mftkit.TaskInfo, ...] = ()) -> None:
        super().__init__(options, tasks)
        self.average = torch.ones(len(tasks), dtype=torch.float64)

    def weights(self) -> torch.Tensor:
        return self.average

    def observe(self, step: int, train: torch.Tensor, valid: Any) -> None:
        self.average = torch.where(train.isnan(), self.average, 0.9 * self.average + 0.1 * train)

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {"average": self.average}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        self.average = state["average"]


class Forgets(Average):
    def state_dict(self) -> dict[str, torch.Tensor]:
        return {"average": torch.ones_like(self.average)}


class SpoiltByAbsentTasks(Average):
    def observe(self, step: int, train: torch.Tensor, valid: Any) -> None:
        self.average = 0.9 * self.average + 0.1 * train


class OfAnObject(Average):
    def state_dict(self) -> dict[str, Any]:
        return {"average": self.average, "self": self}


class Draws(Average):
    def weights(self) -> torch.Tensor:
        return self.average + torch.rand(len(self.tasks))


class Negative(Average):
    def weights(self) -> torch.Tensor:
        return self.average - 10


class ThreeTasks(Average):
    def weights(self) -> torch.Tensor:
        return torch.ones(3)


class FalselyNeutral(Average):
    neutral = True


class Meddles(Average):
    def observe(self, step: int, train: torch.Tensor, valid: Any) -> None:
        train.mul_(0)


def suite(component: type[Any]) -> BalancerConformance:
    made = BalancerConformance()
    made.component = component  # type: ignore[misc]
    return made


def test_one_that_does_all_is_let_through() -> None:
    for name in dir(BalancerConformance):
        if name.startswith("test_"):
            getattr(suite(Average), name)()


@pytest.mark.parametrize(
    ("component", "check", "message"),
    [
        (Forgets, "state_round_trip", r"resumed after step 1, .* missing from state_dict"),
        (SpoiltByAbsentTasks, "weights", r"nan.* after step 1"),
        (Negative, "weights", "not negative"),
        (Draws, "weights", "different weights on a second call"),
        (Draws, "determinism", "random state of torch"),
        (ThreeTasks, "many_tasks", r"\(3,\), not \(200,\)"),
        (ThreeTasks, "one_task", r"\(3,\), not \(1,\)"),
        (FalselyNeutral, "neutrality", "neutral is True, but at step"),
        (Meddles, "it_changes_nothing_it_is_given", "changed the losses"),
    ],
)
def test_what_is_broken_is_caught(component: type[Any], check: str, message: str) -> None:
    with pytest.raises(ConformanceError, match=message):
        getattr(suite(component), f"test_{check}")()


def test_a_state_that_a_checkpoint_does_not_read_is_caught() -> None:
    with pytest.raises(Exception, match="[Ww]eights"):
        suite(OfAnObject).test_state_round_trip()
