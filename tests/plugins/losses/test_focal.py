from typing import Any

import pytest
import torch
from pydantic import ValidationError

import mftkit
from mftkit.plugins import installed, kinds

TASKS = (mftkit.TaskInfo("comment"), mftkit.TaskInfo("repair"))
FOCAL = ["sample-focal", "task-focal"]


def loss_and_gradient(name: str, values: list[float], **options: Any) -> tuple[float, torch.Tensor]:
    """Two samples of two tokens, both of the first task."""
    loss = installed.build(kinds.LOSS, name, options, TASKS)
    logprobs = torch.tensor(values).requires_grad_()
    tokens = mftkit.Tokens(
        logprobs,
        task=torch.tensor([0, 0, 0, 0]),
        sample=torch.tensor([0, 0, 1, 1]),
        sample_task=torch.tensor([0, 0]),
        num_tasks=2,
        num_samples=2,
    )
    counted = torch.tensor([True, False])
    totals = mftkit.Totals(loss.statistics(tokens), torch.tensor([4, 0]), torch.tensor([2, 0]), counted)
    value = loss.task_losses(totals)[0]
    value.backward()
    assert logprobs.grad is not None
    return float(value.detach()), logprobs.grad


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.0, 5.0])
@pytest.mark.parametrize(
    "logprobs", [[0.0] * 4, [-1e-30] * 4, [-1e-7] * 4, [-1000.0] * 4, [0.0, -1000.0] * 2]
)
@pytest.mark.parametrize("name", FOCAL)
def test_certain_and_hopeless_tokens(name: str, logprobs: list[float], gamma: float) -> None:
    value, gradient = loss_and_gradient(name, logprobs, gamma=gamma)
    assert 0 <= value <= 1000
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("name", FOCAL)
def test_nearly_certain_tokens_keep_their_digits(name: str) -> None:
    value, gradient = loss_and_gradient(name, [-1e-10] * 4, gamma=2)
    assert value == pytest.approx(1e-30, rel=1e-6, abs=0)
    assert gradient.tolist() == pytest.approx([-3e-20 / 4] * 4, rel=1e-6, abs=0)


@pytest.mark.parametrize("name", FOCAL)
def test_differentiated_through_p_too(name: str) -> None:
    logprobs = [-0.5, -2.0, -1.0, -0.1]
    _, gradient = loss_and_gradient(name, logprobs, gamma=2)
    for k in range(4):
        up, down = ([lp + (e if i == k else 0) for i, lp in enumerate(logprobs)] for e in (0.01, -0.01))
        slope = (loss_and_gradient(name, up, gamma=2)[0] - loss_and_gradient(name, down, gamma=2)[0]) / 0.02
        assert float(gradient[k]) == pytest.approx(slope, rel=2e-3)


@pytest.mark.parametrize("name", FOCAL)
def test_alpha_of_one_task_or_of_all(name: str) -> None:
    logprobs = [-0.5, -2.0, -1.0, -0.1]
    plain = loss_and_gradient(name, logprobs)[0]
    assert loss_and_gradient(name, logprobs, alpha=3)[0] == pytest.approx(3 * plain)
    assert loss_and_gradient(name, logprobs, alpha={"comment": 0.5})[0] == pytest.approx(plain / 2)
    assert loss_and_gradient(name, logprobs, alpha={"repair": 0.5})[0] == pytest.approx(plain)


@pytest.mark.parametrize("name", FOCAL)
def test_alpha_of_an_unknown_task_is_refused(name: str) -> None:
    with pytest.raises(
        mftkit.MftError, match=r"loss\.options\.alpha: no task is named 'coment'.*'comment', 'repair'"
    ):
        installed.build(kinds.LOSS, name, {"alpha": {"coment": 2.0}}, TASKS)


@pytest.mark.parametrize(
    "options",
    [{"gamma": -1}, {"gamma": float("inf")}, {"alpha": -0.1}, {"alpha": {"comment": -1}}, {"gama": 1}],
)
@pytest.mark.parametrize("name", FOCAL)
def test_options_out_of_range_are_refused(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        installed.build(kinds.LOSS, name, options, TASKS)
