"""A result of a comparison, with every number known."""

from __future__ import annotations

from mftkit.tools.compare.noise import Difference
from mftkit.tools.compare.result import ArmResult, ComparisonResult, Noise, RunResult, TaskBudget

RUN = RunResult("runs/mixed-a/seed-1", 1, None, "finished", 9, 2.5, 1)
ARM = ArmResult(
    label="mixed",
    kind="mixed",
    loss={"name": "a"},
    balancer={"name": "b"},
    losses={"x": [1.5, None]},
    at_step={"x": [4, None]},
    model_losses={"x": [1.75, None]},
    mean_by_seed=[1.5, None],
    mean_loss=None,
    mean_rank=None,
    seconds_by_seed=[2.5, 0.0],
    seconds=1.25,
    runs=[RUN],
)
RESULT = ComparisonResult(
    name="run",
    complete=False,
    tasks=["x"],
    seeds=[1, 2],
    budget="epochs",
    steps=9,
    single={"x": TaskBudget(5, 0.5)},
    same_start=True,
    arms=[ARM],
    noise=Noise(True, 0.95, "the rule", "mixed", [Difference("other", 0.5, 0.25, 0.75)], "a verdict"),
)
