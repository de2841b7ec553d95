import pytest
import torch

import mftkit
import mftkit_plugins.balancers
from mftkit.plugins import installed, kinds
from mftkit.training.objective import normalize


def tasks(*weights: float) -> tuple[mftkit.TaskInfo, ...]:
    return tuple(mftkit.TaskInfo(f"task{i}", weight=weight) for i, weight in enumerate(weights))


def test_the_balancers_and_the_default() -> None:
    defaults: dict[str, bool] = {}

    def register(name: str, target: str | type, *, summary: str, default: bool = False) -> None:
        defaults[name] = default

    mftkit_plugins.balancers.register_balancers(register)
    assert defaults.keys() == {"equal", "fixed", "coba", "famo", "uncertainty", "dwa", "dro"}
    assert [name for name, default in defaults.items() if default] == ["equal"]


def test_equal_weighs_all_the_same_and_reads_no_weights() -> None:
    balancer = installed.build(kinds.BALANCER, "equal", {}, tasks(1, 1, 1))
    assert not balancer.reads_task_weights
    assert balancer.weights().tolist() == [1, 1, 1]


def test_fixed_gives_the_weights_of_the_spec() -> None:
    balancer = installed.build(kinds.BALANCER, "fixed", {}, tasks(0, 1.5, 4.5))
    assert balancer.reads_task_weights
    assert balancer.weights().tolist() == [0, 1.5, 4.5]
    assert normalize(balancer.weights()).tolist() == [0, 0.75, 2.25]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ((0.0, 0.0), r"tasks\[\]\.weight: all are 0"),
        ((1.0, -2.0), r"tasks\.1\.weight: -2\.0 of task 'task1'"),
        ((float("nan"), 1.0), r"tasks\.0\.weight: nan of task 'task0'"),
    ],
)
def test_fixed_refuses_weights_that_train_nothing_or_mean_nothing(
    weights: tuple[float, float], message: str
) -> None:
    with pytest.raises(mftkit.MftError, match=message):
        installed.build(kinds.BALANCER, "fixed", {}, tasks(*weights))


@pytest.mark.parametrize("name", ["equal", "fixed"])
def test_nothing_to_remember(name: str) -> None:
    balancer = installed.build(kinds.BALANCER, name, {}, tasks(1, 2))
    balancer.observe(1, torch.tensor([1.0, torch.nan]), None)
    assert balancer.state_dict() == {}
    balancer.load_state_dict({})
    assert balancer.needs_validation == 0
