"""The formulas of the losses, written down once more: each sample by itself, no sums shared."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

import mftkit

NAMES = ("rare", "hard", "big", "gone")
COUNT = len(NAMES)
ALPHA = {"hard": 0.5, "big": 1.7}
GAMMA = 1.5
STEPS_PER_EPOCH = 3
TASKS = tuple(
    mftkit.TaskInfo(name, samples=samples, tokens=tokens)
    for name, samples, tokens in zip(NAMES, (7, 11, 23, 4), (61, 200, 515, 35), strict=True)
)


def formula(
    name: str,
    lps: Sequence[Sequence[Tensor]],
    weights: Sequence[float] | Tensor,
    task_mean: str = "present",
    row_weights: Any = None,
    gamma: float = GAMMA,
    alpha: Any = ALPHA,
) -> Any:
    """``lps[i][j]``: log p of the counting tokens of task i's sample j; ``row_weights[i][j]``: of its row."""
    row_weights = row_weights or [[1.0] * len(samples) for samples in lps]
    alpha = [alpha.get(task, 1.0) for task in NAMES]
    tokens: list[float] = [sum(len(lp) for lp in samples) for samples in lps]
    samples: list[float] = [len(samples) for samples in lps]
    n = sum(count > 0 for count in samples) if task_mean == "present" else len(NAMES)
    if task_mean == "dataset":
        tokens = [task.tokens / STEPS_PER_EPOCH for task in TASKS]
        samples = [task.samples / STEPS_PER_EPOCH for task in TASKS]
    result = 0.0
    for i, (of_task, w) in enumerate(zip(lps, row_weights, strict=True)):
        if not of_task:
            continue
        p = [lp.exp().mean() for lp in of_task]
        q = [lp.mean() for lp in of_task]
        nll = sum(-w_ij * lp.sum() for w_ij, lp in zip(w, of_task, strict=True))
        wq = [w_ij * q_ij for w_ij, q_ij in zip(w, q, strict=True)]
        terms = {
            "token-balanced": nll / tokens[i] / n,
            "sample-balanced": sum(-x for x in wq) / samples[i] / n,
            "sample-focal": sum(-alpha[i] * (1 - x) ** gamma * y for x, y in zip(p, wq, strict=True))
            / sum(samples),
            "task-focal": -alpha[i] * (1 - sum(p) / samples[i]) ** gamma * (sum(wq) / samples[i]) / n,
            "mixed": nll / sum(tokens),
            "token-square": sum(lp.square().sum() for lp in of_task) / tokens[i] / n,
            "root": (nll / tokens[i]).sqrt() / n,
        }  # fmt: skip
        result = result + weights[i] * terms[name]
    return result
