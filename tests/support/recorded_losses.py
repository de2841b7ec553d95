"""Losses of some tasks over a run, as balancers are told of them: falling at different rates, with noise."""

from __future__ import annotations

import torch

import mftkit


def tasks(count: int) -> tuple[mftkit.TaskInfo, ...]:
    return tuple(mftkit.TaskInfo(f"task{i}", valid_samples=4) for i in range(count))


def recorded(steps: int, count: int, *, absent: float = 0.0, seed: int = 0) -> torch.Tensor:
    """[steps, tasks] float64; NaN for the share ``absent`` of them, but never for all tasks of a step."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*size: int) -> torch.Tensor:
        return torch.rand(*size, generator=generator, dtype=torch.float64)

    start, rate = 1.0 + 4.0 * draw(count), 0.2 + draw(count)
    times = torch.arange(1, steps + 1, dtype=torch.float64)
    losses = start * times.unsqueeze(1) ** (-0.5 * rate) * (0.9 + 0.2 * draw(steps, count))
    gone = draw(steps, count) < absent
    gone[torch.arange(steps), torch.arange(steps) % count] = False
    return torch.where(gone, torch.nan, losses)
