"""Runs whose validation losses are a script's, so that every turn that they can take is met."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mftkit
from small_runs import metrics, small_spec


def spec(project: Path, **training: Any) -> Any:
    usual = {"max_steps": 12, "evaluate_every": 1, "checkpoint_every": 100, "log_every": 4, "batch_size": 4}
    made = small_spec(training={**usual, "micro_batch_size": 4, **training}, max_length=48)
    return mftkit.load_spec(made, directory=project)


def checkpoints(project: Path) -> list[int]:
    return sorted(int(entry.name.removeprefix("step-")) for entry in (project / "run/checkpoints").iterdir())


def unfinished(project: Path) -> list[dict[str, Any]]:
    """Takes the end from a run, as a kill would have."""
    lines = [line for line in metrics(project / "run") if line["event"] != "end"]
    (project / "run/metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return lines
