"""Adam over one number a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

BETAS = (0.9, 0.999)
EPSILON = 1e-8


def adam_memory(zeros: Tensor) -> dict[str, Tensor]:
    """What ``adam_step`` keeps: both moments and the number of updates, each [tasks]."""
    return {"first": zeros.clone(), "second": zeros.clone(), "updates": zeros.clone()}


def adam_step(
    memory: dict[str, Tensor],
    name: str,
    gradient: Tensor,
    present: Tensor,
    learning_rate: float,
    weight_decay: float = 0.0,
) -> None:
    """One step of Adam (Kingma and Ba, arXiv 1412.6980, algorithm 1) for ``memory[name]`` [tasks].

    Args:
        memory: the numbers, and what ``adam_memory`` gave.
        name: of the numbers.
        gradient: [tasks]; whatever for tasks that are not ``present``.
        present: [tasks] bool; an absent task's number, moments and count of updates stay as they are, so that each
            task has the Adam of its own gradients.
        learning_rate: of this step.
        weight_decay: coupled: it is added to the gradient, ``weight_decay`` times the number.
    """
    gradient = gradient + weight_decay * memory[name]
    updates = memory["updates"] + 1
    first = BETAS[0] * memory["first"] + (1 - BETAS[0]) * gradient
    second = BETAS[1] * memory["second"] + (1 - BETAS[1]) * gradient.square()
    mean, square = first / (1 - BETAS[0] ** updates), second / (1 - BETAS[1] ** updates)
    moved = memory[name] - learning_rate * mean / (square.sqrt() + EPSILON)
    for key, value in {name: moved, "first": first, "second": second, "updates": updates}.items():
        memory[key] = torch.where(present, value, memory[key])
