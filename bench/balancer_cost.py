"""What each balancer adds to a training step: CPU time relative to ``equal``, in turns in one process.

    python bench/balancer_cost.py [SPEC] [--set key=value]...      default: examples/quickstart.json

Every balancer trains the spec's own model on its own data; a turn is 25 steps, which is a multiple of the interval
between two validation mini-batches at the defaults. "over equal" compares whole steps, with all the noise of the
machine. "itself" is the time within the balancer and its validation mini-batches, as a share of its own steps: little
disturbed, but without a second forward pass over the step's batch. "plan" is what the plan of a run states.
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
from mftkit.training.schedule import RunSchedule
from mftkit.training.setup import build_run, check_run
from mftkit.training.train_step import TrainStep

if TYPE_CHECKING:
    from collections.abc import Callable

    from mftkit.training.balancing import Balancing
    from mftkit.training.run_parts import Run

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


def build(spec_path: str, overrides: list[str], label: str) -> Run:
    spec = mftkit.load_spec(spec_path, overrides)
    name = label.partition(",")[0]
    component = type(spec.balancer)(name=name, options=BALANCERS[label])
    spec = spec.model_copy(update={"balancer": component})
    return build_run(check_run(spec, Reporter()))


def planned(run: Run) -> str:
    notes = [note for note in run.plan.notes if note.startswith("balancer ")]
    found = re.search(r"about ([\d.]+ %)", notes[0]) if notes else None
    return found[1] if found else "0.0 %"


class Clock:
    """CPU seconds within the calls of a run to its balancer."""

    def __init__(self, balancing: Balancing) -> None:
        self.seconds = 0.0
        for name in ("before_step", "weights", "after_step"):
            setattr(balancing, name, self._timed(getattr(balancing, name)))

    def _timed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            start = time.process_time()
            try:
                return method(*arguments)
            finally:
                self.seconds += time.process_time() - start

        return timed


def turn(run: Run, train_step: TrainStep, first: int) -> float:
    """CPU seconds per step, over ``TURN`` steps from ``first`` on, made as the trainer makes them."""
    checked, balancing = run.checked, run.balancing
    meter = Meter(len(checked.corpus.tasks), run.device, checked.objective.dtype)
    run.logprob_model.train()
    schedule = RunSchedule.of(checked.spec.training, checked.sampler.total)
    start = time.process_time()
    for number in range(first, first + TURN):
        batch = checked.sampler[number]
        balancing.before_step(number)
        rate = schedule.rate(number, checked.spec.training)
        result = train_step(batch, rate, meter)
        balancing.after_step(number, result.task_losses, result.losses_after_update)
    return (time.process_time() - start) / TURN


def main(arguments: list[str]) -> None:
    torch.set_num_threads(1)
    overrides = [value for flag, value in pairwise(arguments) if flag == "--set"]
    quickstart = str(Path(__file__).parents[1] / "examples/quickstart.json")
    spec = next((each for each in arguments if each.endswith(".json")), quickstart)
    overrides = [f"training.max_steps={(ROUNDS + 1) * TURN}", *overrides]
    runs = {label: build(spec, overrides, label) for label in BALANCERS}
    train_steps = {label: TrainStep.of(run) for label, run in runs.items()}
    clocks = {label: Clock(run.balancing) for label, run in runs.items()}
    seconds: dict[str, list[float]] = {label: [] for label in BALANCERS}
    labels = list(BALANCERS)
    for number in range(ROUNDS + 1):
        for label in labels[number % len(labels) :] + labels[: number % len(labels)]:
            seconds[label].append(turn(runs[label], train_steps[label], 1 + number * TURN))
    print(f"{'balancer':24} {'ms per step':>11} {'over equal':>12} {'itself':>9} {'plan':>8}")
    for label, each in seconds.items():
        # The first turn warms up; each other is compared with that of ``equal`` beside it.
        over = [mine / base - 1 for mine, base in zip(each[1:], seconds["equal"][1:], strict=True)]
        middle = statistics.median(each[1:])
        itself = clocks[label].seconds / (TURN * sum(each))
        print(
            f"{label:24} {1000 * middle:11.1f} {100 * statistics.median(over):+10.1f} % {100 * itself:7.2f} % "
            f"{planned(runs[label]):>8}"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
