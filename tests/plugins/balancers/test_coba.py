"""CoBa against its formula written down directly, in plain numbers, one task and one look after another."""

import math
from typing import Any

import pytest
import torch

from mftkit.plugins import installed, kinds
from mftkit_plugins.balancers.coba import Coba
from recorded_losses import recorded, tasks


def build(count: int, **options: Any) -> Coba:
    found = installed.build(kinds.BALANCER, "coba", {"every": 1, "floor": 0.0, **options}, tasks(count))
    assert isinstance(found, Coba)
    return found


def softmax(numbers: list[float]) -> list[float]:
    powers = [math.exp(x - max(numbers)) for x in numbers]
    return [power / sum(powers) for power in powers]


def slope(points: list[tuple[int, float]]) -> float:
    """Of the least-squares line, by its normal equations; 0 through fewer than two points."""
    n = len(points)
    if n < 2:
        return 0.0
    sx, sy = sum(x for x, _ in points), sum(y for _, y in points)
    sxx, sxy = sum(x * x for x, _ in points), sum(x * y for x, y in points)
    return (n * sxy - sx * sy) / (n * sxx - sx * sx)


class Direct:
    """The formula, step by step; all that happened is kept."""

    def __init__(
        self, count: int, warmup: int, window: int, tau: float, floor: float = 0.0, bounded: bool = True
    ) -> None:
        self.count, self.warmup, self.window, self.tau = count, warmup, window, tau
        self.floor, self.bounded = floor, bounded
        self.steps: list[Any] = []
        self.losses: list[Any] = []
        self.slopes: list[Any] = []
        self.weights = [1 / count] * count

    def look(self, step: int, valid: list[float]) -> None:
        self.steps.append(step)
        self.losses.append(valid)
        if len(self.losses) < self.warmup:
            return
        first = [next(row[i] for row in self.losses if row[i] == row[i]) for i in range(self.count)]
        recent = list(zip(self.steps, self.losses, strict=True))[-self.window :]
        self.slopes.append(
            [
                slope([(s, row[i] / first[i]) for s, row in recent if row[i] == row[i]])
                for i in range(self.count)
            ]
        )
        a, k, t = self.slopes[-1], self.count, len(self.slopes)
        self.rcs = softmax([k * x / sum(abs(y) for y in a) for x in a])
        past = self.slopes[-self.window :]
        self.acs = softmax([-len(past) * a[i] / sum(abs(row[i]) for row in past) for i in range(k)])
        worst = [max(row) for row in self.slopes]
        total = sum(abs(x) for x in worst)
        self.df = t * softmax([-self.tau * t * x / total for x in worst])[-1]
        if self.bounded:
            self.df = min(1.0, self.df)
        mixed = [self.df * r + (1 - self.df) * c for r, c in zip(self.rcs, self.acs, strict=True)]
        self.weights = [(1 - self.floor) * w + self.floor / k for w in mixed]


def follow(
    balancer: Coba, direct: Direct, history: torch.Tensor, steps: range | None = None
) -> tuple[Coba, Direct]:
    """Both see the same looks; every weight is compared."""
    for step, valid in zip(steps or range(1, len(history) + 1), history, strict=True):
        balancer.observe(step, torch.full_like(valid, torch.nan), valid)
        direct.look(step, valid.tolist())
        assert balancer.weights().tolist() == pytest.approx(direct.weights, rel=1e-8)
        assert sum(direct.weights) == pytest.approx(1.0)
    return balancer, direct


@pytest.mark.parametrize(
    ("warmup", "window", "tau", "floor"), [(10, 20, 5.0, 0.1), (3, 4, 5.0, 0.0), (2, 30, 1.0, 0.5), (8, 2, 5.0, 0.0)]
)  # fmt: skip
def test_by_a_direct_computation(warmup: int, window: int, tau: float, floor: float) -> None:
    """Also where the window is shorter than the warm-up, which gives the published code an empty one."""
    options = {"warmup": warmup, "window": window, "temperature": tau, "floor": floor}
    balancer, direct = follow(build(4, **options), Direct(4, warmup, window, tau, floor), recorded(60, 4))
    assert 0 < direct.df <= 1
    assert max(direct.weights) > 1.05 * min(direct.weights)
    assert len(balancer.state["losses"]) == min(60, window)


def test_equal_weights_until_the_warm_up_is_over() -> None:
    balancer = build(3, warmup=5)
    for step, valid in enumerate(recorded(5, 3), start=1):
        assert balancer.weights().tolist() == pytest.approx([1 / 3] * 3)
        balancer.observe(step, valid, None)  # no look: it does not count
        balancer.observe(step, valid, valid)
    assert balancer.weights().tolist() != pytest.approx([1 / 3] * 3)


def steepening(looks: int) -> torch.Tensor:
    """Three tasks that converge ever faster, at paces of 1 : 2 : 4."""
    times = torch.arange(looks, dtype=torch.float64)
    return 1 - torch.outer(times**4, torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)) / (5.0 * looks**4)


def test_worst_task_slopes_that_steepen_need_the_bound_of_the_divergence_factor() -> None:
    """Without the min DF is about 7 there, and a weight becomes negative (the published code's form)."""
    history = steepening(8)
    _, direct = follow(build(3, warmup=2, window=4), Direct(3, 2, 4, 5.0), history)
    assert direct.df == 1.0
    assert direct.weights == pytest.approx([0.52, 0.34, 0.14], abs=0.005)
    free = Direct(3, 2, 4, 5.0, bounded=False)
    for step, valid in enumerate(history.tolist(), start=1):
        free.look(step, valid)
    assert free.df == pytest.approx(7.0, abs=0.1)
    assert free.weights == pytest.approx([1.63, 0.37, -1.0], abs=0.01)


def test_a_task_that_turns_upwards_gets_least() -> None:
    times = torch.arange(40, dtype=torch.float64)
    history = torch.stack([1 / (1 + 0.1 * times), 1 / (1 + 0.05 * times), 1 / (1 + 0.1 * times)], dim=1)
    history[20:, 2] += 0.02 * torch.arange(1, 21, dtype=torch.float64)
    balancer = build(3, warmup=4, window=8)
    direct = Direct(3, 4, 8, 5.0)
    follow(balancer, direct, history[:19])
    assert direct.df > 0.04
    before = balancer.weights()[2].item()
    follow(balancer, direct, history[19:], range(20, 41))
    assert direct.df < 1e-3
    assert balancer.weights().argmin() == 2
    assert balancer.weights()[2] < before


def test_the_slowest_task_gets_most_while_all_converge_evenly() -> None:
    times = torch.arange(30, dtype=torch.float64)
    history = 1 - torch.outer(times, torch.tensor([0.001, 0.004, 0.016], dtype=torch.float64))
    balancer, direct = follow(build(3, warmup=4), Direct(3, 4, 20, 5.0), history)
    assert direct.df == pytest.approx(1.0)
    assert balancer.weights().tolist() == sorted(balancer.weights().tolist(), reverse=True)


def test_the_times_are_those_of_the_looks_also_of_a_task_that_was_absent() -> None:
    history = recorded(40, 3, absent=0.4)
    follow(build(3, warmup=4, window=9), Direct(3, 4, 9, 5.0), history, range(3, 203, 5))
    line = torch.tensor([[1.0], [torch.nan], [0.7], [0.6]], dtype=torch.float64)
    balancer = build(1, warmup=2)
    for step, valid in zip((10, 20, 40, 50), line, strict=True):
        balancer.observe(step, valid, valid)
    assert balancer.state["slopes"][-1].item() == pytest.approx(-0.01)


def test_the_floor_keeps_every_task_and_the_sum() -> None:
    history = recorded(30, 200)
    history[:, 7] = 5.0 - 0.1 * torch.arange(30, dtype=torch.float64)  # all of the change
    history[:, :7], history[:, 8:] = 1.0, 1.0
    balancer = build(200, warmup=3, floor=0.25)
    for step, valid in enumerate(history, start=1):
        balancer.observe(step, valid, valid)
    weights = balancer.weights()
    assert weights.sum() == pytest.approx(1.0)
    assert weights[7] == pytest.approx(0.25 / 200), "the others stand still: it converges, they do not"
    assert weights.min() >= 0.25 / 200


def test_losses_that_do_not_move_weigh_the_same() -> None:
    balancer = build(3, warmup=2)
    for step in range(1, 8):
        balancer.observe(step, torch.ones(3), torch.ones(3, dtype=torch.float64))
    assert balancer.weights().tolist() == pytest.approx([1 / 3] * 3)


def test_what_it_asks_of_core() -> None:
    usual = installed.build(kinds.BALANCER, "coba", {}, tasks(3))
    assert (usual.needs_validation, usual.validation_samples, usual.minibatch_reuse, usual.compares) == (
        5,
        2,
        1,
        None,
    )
    assert installed.build(kinds.BALANCER, "coba", {}, tasks(64)).needs_validation == 64
    assert (
        installed.build(
            kinds.BALANCER, "coba", {"every": 9, "samples": 3, "hold": 0}, tasks(64)
        ).minibatch_reuse
        == 0
    )
