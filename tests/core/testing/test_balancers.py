import pytest
import torch

import mftkit
from mftkit.testing import BalancerConformance, ConformanceError


class Average(mftkit.Balancer):
    """A moving average, as it should be."""

    def __init__(self, options, tasks=()):
        super().__init__(options, tasks)
        self.average = torch.ones(len(tasks), dtype=torch.float64)

    def weights(self):
        return self.average

    def observe(self, step, train, valid):
        self.average = torch.where(train.isnan(), self.average, 0.9 * self.average + 0.1 * train)

    def state_dict(self):
        return {"average": self.average}

    def load_state_dict(self, state):
        self.average = state["average"]


class Forgets(Average):
    def state_dict(self):
        return {"average": torch.ones_like(self.average)}


class SpoiltByAbsentTasks(Average):
    def observe(self, step, train, valid):
        self.average = 0.9 * self.average + 0.1 * train


class OfAnObject(Average):
    def state_dict(self):
        return {"average": self.average, "self": self}


class Draws(Average):
    def weights(self):
        return self.average + torch.rand(len(self.tasks))


class Negative(Average):
    def weights(self):
        return self.average - 10


class ThreeTasks(Average):
    def weights(self):
        return torch.ones(3)


class FalselyNeutral(Average):
    neutral = True


class Meddles(Average):
    def observe(self, step, train, valid):
        train.mul_(0)


def suite(component):
    made = BalancerConformance()
    made.component = component
    return made


def test_one_that_does_all_is_let_through():
    for name in dir(BalancerConformance):
        if name.startswith("test_"):
            getattr(suite(Average), name)()


@pytest.mark.parametrize(
    ("component", "check", "message"),
    [
        (Forgets, "state_round_trip", r"resumed after step 1, .* missing from state_dict"),
        (SpoiltByAbsentTasks, "weights", r"nan.* after step 1"),
        (Negative, "weights", "not negative"),
        (Draws, "weights", "others when asked again"),
        (Draws, "determinism", "random state of torch"),
        (ThreeTasks, "many_tasks", r"\(3,\), not \(200,\)"),
        (ThreeTasks, "one_task", r"\(3,\), not \(1,\)"),
        (FalselyNeutral, "neutrality", "neutral: weights are equal"),
        (Meddles, "it_changes_nothing_it_is_given", "changed the losses"),
    ],
)
def test_what_is_broken_is_caught(component, check, message):
    with pytest.raises(ConformanceError, match=message):
        getattr(suite(component), f"test_{check}")()


def test_a_state_that_a_checkpoint_does_not_read_is_caught():
    with pytest.raises(Exception, match="[Ww]eights"):
        suite(OfAnObject).test_state_round_trip()
