"""A scripted run: what everything that a reporter receives, from plan to end. Run it in a terminal to look at the display.

python scripted.py DIRECTORY [seconds a line] [how it ends: finished, interrupted, failed, raises, killed]
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mftkit.display import console_reporter
from mftkit.reporting.lines import TrainLine, ValidLine
from mftkit.reporting.outcome import Outcome
from mftkit.reporting.plan import Plan, PlannedTask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mftkit.reporting.reporter import Reporter

TASKS = {
    "code-completion": (400, 51234),
    "code-comment": (120, 7206),
    "text-to-code": (260, 38110),
    "repair": (31, 4021),
}
STEPS, EVERY = 300, 20


def ended(reason: str, error: str | None = None, signal: signal.Signals | None = None) -> Outcome:
    """How the run ended."""
    return Outcome(reason, STEPS, 280, error, signal)


def plan(directory: Path, **changes: Any) -> Plan:
    """Four uneven tasks."""
    total = sum(tokens for _, tokens in TASKS.values())
    tasks = tuple(
        PlannedTask(name, samples, tokens, tokens / total, samples // 20, truncated, 0, 0)
        for (name, (samples, tokens)), truncated in zip(TASKS.items(), (17, 0, 3, 0), strict=True)
    )
    fields: dict[str, Any] = {
        "name": "four-tasks",
        "output": directory,
        "tasks": tasks,
        "rows": 1234,
        "fill": 0.963,
        "max_length": 512,
        "steps": STEPS,
        "steps_per_epoch": 155,
        "batch_size": 16,
        "parameters": 1234567,
        "trainable": 1234567,
        "device": "cpu",
        "processes": 1,
        "dtype": "float32",
        "components": {"loss": "some-loss (mftkit 0.1.0)", "balancer": "some-balancer (mftkit-other 2.3.4)"},
        "notes": (
            "the tokenizer has no chat template: conversations are written with the markers of the spec",
        ),
    }
    return Plan(**{**fields, **changes})


def train_line(step: int) -> dict[str, Any]:
    """A loss that falls, a task now and then absent."""
    fallen = 3 * math.exp(-step / 150)
    return {
        "event": "train",
        "step": step,
        "epoch": step / 155,
        "loss": 1 + fallen,
        "tasks": {
            name: {
                "loss": None if i == 3 and step == 40 else 1 + i / 10 + fallen,
                "weight": 0.25 * (i + 1),
                "tokens": tokens // 10,
                "samples": samples // 10,
            }
            for i, (name, (samples, tokens)) in enumerate(TASKS.items())
        },
        "learning_rate": 1e-3 * (1 - step / STEPS),
        "grad_norm": 0.75 + step / 1000,
        "tokens_per_second": 5120.0 + step,
        "padding": 0.037,
    }


def valid_line(step: int) -> dict[str, Any]:
    """Better and better, but for one task in the end."""
    losses = {name: 1.2 + i / 10 + 3 * math.exp(-step / 150) for i, name in enumerate(TASKS)}
    if step > 200:
        losses["repair"] += 0.8
    return {
        "event": "valid",
        "step": step,
        "loss": sum(losses.values()) / len(losses),
        "tasks": {name: {"loss": loss, "tokens": 900} for name, loss in losses.items()},
    }


def lines() -> Iterator[dict[str, Any]]:
    """All train and valid lines of the run."""
    yield valid_line(0)
    for step in range(EVERY, STEPS + 1, EVERY):
        yield train_line(step)
        if step % 100 == 0:
            yield valid_line(step)


def play(reporter: Reporter, directory: Path, pause: float, ending: str = "finished") -> None:
    """Report all of it."""
    directory.mkdir(parents=True, exist_ok=True)
    reporter.note("code-comment: 2 rows [of 122] are equal to others")
    with reporter.progress("tokenising", 811) as advance:
        for _ in range(81):
            advance(10)
            time.sleep(pause / 20)
        advance(1)
    reporter.planned(plan(directory))
    with (directory / "metrics.jsonl").open("w", encoding="utf-8") as file:
        for line in lines():
            time.sleep(pause)
            file.write(json.dumps(line) + "\n")
            file.flush()
            if line["event"] == "train":
                reporter.step_ended(line["step"], TrainLine.from_json(line))
            else:
                reporter.validated(ValidLine.from_json(line))
            if line["step"] == 60:
                reporter.warn("plugin [x] failed in on_step_end: this is told once")
            if line["step"] == 100:
                _stop(ending)
    outcome = ended("finished")
    if ending == "interrupted":
        outcome = ended("interrupted", signal=signal.SIGINT)
    if ending == "failed":
        outcome = ended("failed", error="the loss or its gradient is not finite in step 300; tasks: repair")
    reporter.show_result(directory, outcome)


def _stop(ending: str) -> None:
    if ending == "raises":
        raise RuntimeError("the cable was pulled")
    if ending == "killed":
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    with console_reporter() as display:
        play(display, Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "finished")
