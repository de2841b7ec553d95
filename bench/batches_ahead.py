"""Does a training step wait for its data?

The quickstart's model and data, packed rows, one thread of torch. The same steps are trained twice, in turns: with
each batch made when its step begins, and with each made in a thread during the step before (``BatchesAhead``).
"waiting" is the time on the clock from a step's request for its batch to the batch, as a share of that of all steps.
CPU seconds are those of the whole process, the thread's included. While other programs take all cores, the thread
runs late, so the share with it is an upper bound.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from bench.figures import Figure, main

import mftkit
from mftkit.batches.ahead import BatchesAhead, StepBatch
from mftkit.reporting.reporter import Reporter
from mftkit.training.meter import Meter
from mftkit.training.setup import build_run, check_run
from mftkit.training.train_step import TrainStep

if TYPE_CHECKING:
    from collections.abc import Callable

    from mftkit.training.run_parts import Run

QUESTION = "Does a training step wait for its data?"
QUICKSTART = Path(__file__).parent.parent / "examples" / "quickstart.json"


def measure(*, quick: bool) -> list[Figure]:
    """Share of the steps' time spent waiting, and CPU time per step."""
    torch.set_num_threads(1)
    rounds, steps = (1, 2) if quick else (7, 10)
    with tempfile.TemporaryDirectory() as directory:
        run = build(Path(directory), quick=quick)
        train_step, sampler = TrainStep.of(run), run.checked.sampler
        ahead = BatchesAhead(sampler, train_step.prepare)
        ways: dict[str, Callable[[int], StepBatch]] = {
            "made in the step": lambda number: train_step.prepare(sampler[number]),
            "one step ahead": ahead.take,
        }
        found: dict[str, list[Turn]] = {name: [] for name in ways}
        for number in range(rounds + 1):
            for name, take in sorted(ways.items(), reverse=bool(number % 2)):
                turn = Turn(run, train_step, take, steps)
                ahead.end()
                if number:
                    found[name].append(turn)
    figures = []
    for name, turns in found.items():
        at_most = 1.0 if name == "one step ahead" and not quick else None
        share = 100 * statistics.median(turn.waiting / turn.seconds for turn in turns)
        figures.append(Figure(f"waiting, {name}", share, "% of a step", at_most=at_most))
    one, other = (statistics.median(turn.cpu for turn in turns) for turns in found.values())
    figures.append(Figure("CPU of a step, made in the step", 1000 * one / steps, "ms"))
    figures.append(
        Figure("CPU with batches ahead / without", other / one, "", at_most=None if quick else 1.02)
    )
    return figures


class Turn:
    """Some steps, with what they took."""

    def __init__(self, run: Run, train_step: TrainStep, take: Callable[[int], StepBatch], steps: int) -> None:
        meter = Meter(len(run.checked.corpus.tasks), run.device, run.checked.objective.dtype)
        take(1)  # the first one has none before it
        self.waiting = 0.0
        cpu, began = time.process_time(), time.perf_counter()
        for number in range(2, steps + 2):
            asked = time.perf_counter()
            prepared = take(number)
            self.waiting += time.perf_counter() - asked
            train_step(prepared.batch, 1e-4, meter, prepared)
        self.seconds, self.cpu = time.perf_counter() - began, time.process_time() - cpu


def build(directory: Path, *, quick: bool) -> Run:
    """The quickstart's run, with few samples if ``quick``."""
    spec: dict[str, Any] = json.loads(QUICKSTART.read_text(encoding="utf-8"))
    spec |= {"output": str(directory / "run"), "data": {"cache": str(directory / "cache")}}
    for task in spec["tasks"]:
        task["generator"]["options"]["samples"] = 80 if quick else 300
    if quick:
        spec["model"]["config"] |= {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
        spec["model"]["tokenizer"] = {"train_bpe": 400}
    return build_run(check_run(mftkit.load_spec(spec, directory=directory), Reporter()))


if __name__ == "__main__":
    main(__spec__.name)
