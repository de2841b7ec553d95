"""Adam for one number per task."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BETAS = (0.9, 0.999)
EPSILON = 1e-8


def adam_state(zeros: Tensor) -> dict[str, Tensor]:
    """Return the state of ``adam_step``: both moments and the number of updates, each [tasks]."""
    return {"first": zeros.clone(), "second": zeros.clone(), "updates": zeros.clone()}


def adam_step(
    state: dict[str, Tensor],
    name: str,
    gradient: Tensor,
    present: Tensor,
    learning_rate: float,
    weight_decay: float = 0.0,
) -> None:
    """One step of Adam (Kingma and Ba, arXiv 1412.6980, algorithm 1) for ``state[name]`` [tasks].

    Args:
        state: the numbers, and what ``adam_state`` returned; updated in place.
        name: key of the numbers in ``state``.
        gradient: [tasks]; ignored for tasks that are not ``present``.
        present: [tasks] bool; the number, moments and update count of an absent task stay unchanged, so that each task
            follows the Adam of its own gradients.
        learning_rate: the step's learning rate.
        weight_decay: coupled: this times the number is added to the gradient.
    """
    import torch

    gradient = gradient + weight_decay * state[name]
    updates = state["updates"] + 1
    first = BETAS[0] * state["first"] + (1 - BETAS[0]) * gradient
    second = BETAS[1] * state["second"] + (1 - BETAS[1]) * gradient.square()
    mean, square = first / (1 - BETAS[0] ** updates), second / (1 - BETAS[1] ** updates)
    moved = state[name] - learning_rate * mean / (square.sqrt() + EPSILON)
    for key, value in {name: moved, "first": first, "second": second, "updates": updates}.items():
        state[key] = torch.where(present, value, state[key])
