"""Run directories written by hand, with every number known."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

TASKS = ("repair", "<script>alert(1)</script>", "a & b")


def lines(
    steps: int = 100, every: int = 20, tasks: tuple[str, ...] = TASKS, shift: float = 0.0
) -> list[dict[str, Any]]:
    made = []
    for step in range(steps + 1):
        if step:
            made.append(train_line(step, steps, tasks, shift))
        if step % every == 0:
            losses = {
                t: {"loss": 4 + shift + i - 2 * step / steps + 0.01 * (step == steps), "tokens": 100}
                for i, t in enumerate(tasks)
            }
            mean = sum(task["loss"] for task in losses.values()) / len(tasks)
            made.append({"event": "valid", "step": step, "loss": mean, "tasks": losses})
    return made


def train_line(step: int, steps: int, tasks: tuple[str, ...], shift: float) -> dict[str, Any]:
    return {
        "event": "train",
        "step": step,
        "epoch": step / steps,
        "loss": 5 + shift - step / steps,
        "tasks": {
            task: {
                # the last task is absent from each third line
                "loss": None if i == len(tasks) - 1 and step % 3 == 0 else 5 + i + shift + math.sin(step / 7),
                "weight": 1 + 0.3 * i * math.cos(step / 9),
                "tokens": 100 * (i + 1),
                "samples": i + 1,
            }
            for i, task in enumerate(tasks)
        },
        "learning_rate": 1e-3 * (1 - step / (2 * steps)),
        "grad_norm": 1 + 1 / step,
        "tokens_per_second": 5000.0 + step,
        "padding": 0.04,
    }


END = {"event": "end", "reason": "finished", "step": 100, "best_step": 100, "error": None}


def write_run(
    path: Path, metrics: list[dict[str, Any]], *, end: dict[str, Any] | None = END, name: str = "a run"
) -> Path:
    path.mkdir(parents=True)
    whole = [*metrics, end] if end else metrics
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in whole), "utf-8")
    tasks = list(metrics[0]["tasks"]) if metrics else list(TASKS)
    spec = {
        "name": name,
        "tasks": [{"name": task} for task in tasks],
        "loss": {"name": "some-loss"},
        "balancer": {"name": "some-balancer"},
    }
    (path / "spec.json").write_text(json.dumps(spec), "utf-8")
    (path / "environment.json").write_text(json.dumps({"python": "3.11", "components": []}), "utf-8")
    planned = [{"name": task, "samples": 10, "tokens": 1000, "share": 1 / len(tasks)} for task in tasks]
    plan = {"name": name, "steps": 100, "parameters": 30000, "tasks": planned, "notes": ["a note"]}
    (path / "plan.json").write_text(json.dumps(plan), "utf-8")
    return path
