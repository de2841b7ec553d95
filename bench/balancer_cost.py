"""What each balancer adds to a training step: CPU time over that of ``equal``, in turns in one process.

    python bench/balancer_cost.py [SPEC] [--set key=value]...      default: examples/quickstart.json

Every balancer trains the spec's own model on its own data; a turn is 25 steps, the period of the looks at validation
samples at the defaults. "over equal" compares whole steps, with all the noise of the machine. "itself" is the time
within the balancer and its looks at validation samples, as a share of its own steps: little disturbed, but without a
second forward pass over the step's batch. "plan" is what the plan of a run tells beforehand.
"""

from __future__ import annotations

import re
import statistics
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import mftkit
from mftkit.reporting.reporter import Reporter
from mftkit.training.meter import Meter
from mftkit.training.optimizer import learning_rate
from mftkit.training.setup import assemble, draft

if TYPE_CHECKING:
    from collections.abc import Callable

    from mftkit.training.balancing import Balancing
    from mftkit.training.setup import Assembly

ROUNDS, TURN = 5, 25
BALANCERS: dict[str, dict[str, Any]] = {
    "equal": {},
    "fixed": {},
    "uncertainty": {},
    "dwa": {},
    "dro": {},
    "coba": {},
    "famo": {},
    "famo, training losses": {"losses": "training"},
}


def made(spec_path: str, overrides: list[str], label: str) -> Assembly:
    spec = mftkit.load_spec(spec_path, overrides)
    name = label.partition(",")[0]
    component = type(spec.balancer)(name=name, options=BALANCERS[label])
    spec = spec.model_copy(update={"balancer": component})
    return assemble(draft(spec, Reporter()))


def planned(assembly: Assembly) -> str:
    told = [note for note in assembly.plan.notes if note.startswith("balancer ")]
    found = re.search(r"about ([\d.]+ %)", told[0]) if told else None
    return found[1] if found else "0.0 %"


class Clock:
    """CPU seconds within what a run asks its balancer."""

    def __init__(self, balancing: Balancing) -> None:
        self.seconds = 0.0
        for name in ("begin", "weights", "end"):
            setattr(balancing, name, self._timed(getattr(balancing, name)))

    def _timed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            start = time.process_time()
            try:
                return method(*arguments)
            finally:
                self.seconds += time.process_time() - start

        return timed


def turn(assembly: Assembly, first: int) -> float:
    """CPU seconds of a step, over ``TURN`` of them from ``first`` on, as the trainer makes them."""
    meter = Meter(len(assembly.corpus.tasks), assembly.device, assembly.objective.dtype)
    assembly.scorer.train()
    start = time.process_time()
    for number in range(first, first + TURN):
        step = assembly.steps[number]
        assembly.balancing.begin(number)
        rate = learning_rate(number, assembly.steps.total, assembly.spec.training)
        result = assembly.runner(step, rate, meter)
        assembly.balancing.end(number, result.task_losses, result.again)
    return (time.process_time() - start) / TURN


def main(arguments: list[str]) -> None:
    torch.set_num_threads(1)
    overrides = [value for flag, value in pairwise(arguments) if flag == "--set"]
    quickstart = str(Path(__file__).parents[1] / "examples/quickstart.json")
    spec = next((each for each in arguments if each.endswith(".json")), quickstart)
    overrides = [f"training.max_steps={(ROUNDS + 1) * TURN}", *overrides]
    assemblies = {label: made(spec, overrides, label) for label in BALANCERS}
    clocks = {label: Clock(assembly.balancing) for label, assembly in assemblies.items()}
    seconds: dict[str, list[float]] = {label: [] for label in BALANCERS}
    labels = list(BALANCERS)
    for number in range(ROUNDS + 1):
        for label in labels[number % len(labels) :] + labels[: number % len(labels)]:
            seconds[label].append(turn(assemblies[label], 1 + number * TURN))
    print(f"{'balancer':24} {'ms a step':>10} {'over equal':>12} {'itself':>9} {'plan':>8}")
    for label, each in seconds.items():
        # The first turn warms up; each other is compared with that of ``equal`` beside it.
        over = [mine / base - 1 for mine, base in zip(each[1:], seconds["equal"][1:], strict=True)]
        middle = statistics.median(each[1:])
        itself = clocks[label].seconds / (TURN * sum(each))
        print(
            f"{label:24} {1000 * middle:10.1f} {100 * statistics.median(over):+10.1f} % {100 * itself:7.2f} % "
            f"{planned(assemblies[label]):>8}"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
