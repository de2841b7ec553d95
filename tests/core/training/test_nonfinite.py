from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from mftkit.training.nonfinite import NonFiniteGuard, NonFiniteLossError


def batch() -> Any:
    return SimpleNamespace(
        sample=torch.tensor([0, 0, 1]), sample_task=torch.tensor([2, 0]), sample_index=(41, 7)
    )


def everything(_step: Any) -> Any:
    return torch.ones(3, dtype=torch.bool)


def nothing(_step: int) -> torch.Tensor:
    return torch.zeros(3, dtype=torch.bool)


def test_finite_steps_pass_and_are_forgotten() -> None:
    guard = NonFiniteGuard()
    guard.add_micro_batch(1, torch.zeros(3), batch())
    flag = guard.add_step(1, torch.tensor(1.0), torch.ones(3), torch.tensor(1.0))
    assert float(flag) == 0
    guard.check(everything)
    assert len(guard) == 0


def test_the_first_bad_step_is_named_with_its_tasks_and_samples() -> None:
    guard = NonFiniteGuard()
    for step, last in ((1, -1.0), (2, float("nan")), (3, float("inf"))):
        guard.add_micro_batch(step, torch.tensor([-1.0, -1.0, last]), batch())
        guard.add_step(step, torch.tensor(last), torch.ones(3), torch.tensor(1.0))
    with pytest.raises(NonFiniteLossError) as caught:
        guard.check(nothing)
    assert (caught.value.step, caught.value.tasks, caught.value.samples) == (2, [0], [7])


def test_a_task_loss_that_is_not_finite_names_its_task_though_every_token_is() -> None:
    guard = NonFiniteGuard()
    guard.add_micro_batch(5, torch.zeros(3), batch())
    losses = torch.tensor([1.0, float("nan"), float("inf")])
    guard.add_step(5, torch.tensor(float("nan")), losses, torch.tensor(1.0))
    with pytest.raises(NonFiniteLossError) as caught:
        guard.check(lambda _step: torch.tensor([True, False, True]))
    assert (caught.value.tasks, caught.value.samples) == ([2], [])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_flag_makes_the_fused_optimizer_leave_the_update_out(dtype: torch.dtype) -> None:
    weight = torch.nn.Parameter(torch.ones(2, 2, dtype=dtype))
    optimizer = torch.optim.AdamW([weight], lr=0.1, fused=True)
    guard = NonFiniteGuard()
    for norm in (1.0, float("nan"), 1.0):
        before = weight.detach().clone()
        weight.grad = torch.full_like(weight, norm)
        cast(Any, optimizer).found_inf = guard.add_step(
            1, torch.tensor(1.0), torch.ones(1), torch.tensor(norm)
        )
        optimizer.step()
        assert torch.equal(weight.detach(), before) == (norm != 1.0)
        assert torch.isfinite(weight).all()
