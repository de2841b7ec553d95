"""What an evaluation found, and its files."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mftkit.base.atomic_files import write_text

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.base.json_types import JsonObject
    from mftkit.evaluation.intervals import MetricValue

RESULT_FILE = "evaluation.json"


@dataclass(frozen=True)
class EvaluationResults:
    """Metrics by task, each named "EVALUATOR/METRIC"."""

    tasks: dict[str, dict[str, MetricValue]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, JsonObject]:
        """By task and metric, as in metrics.jsonl and evaluation.json."""
        return {
            task: {name: value.to_json() for name, value in metrics.items()}
            for task, metrics in self.tasks.items()
        }


def write_results(directory: Path, results: EvaluationResults, more: JsonObject) -> None:
    """Write evaluation.json; ``more`` says what was evaluated."""
    content = {**more, "tasks": results.to_json(), "notes": list(results.notes)}
    text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
    write_text(directory / RESULT_FILE, text)


def write_rows(directory: Path, task: str, rows: list[JsonObject]) -> None:
    """Write TASK.jsonl: one line for each row and prompt, with answers and verdicts."""
    lines = [json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows]
    # UTF-8 has no lone surrogates, which a note may quote from an answer's program; their escapes are those of JSON.
    text = "".join(lines).encode("utf-8", "backslashreplace").decode("utf-8")
    write_text(directory / f"{task}.jsonl", text)
