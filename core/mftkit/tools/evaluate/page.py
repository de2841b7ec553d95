"""evaluation.html: the metrics of an evaluation, and answers with their verdicts, in one file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mftkit.base.atomic_files import write_text
from mftkit.base.formatting import whole
from mftkit.pages.render import render
from mftkit.pages.tables import Cell, Table
from mftkit.reporting.metric_text import METRIC_HEADINGS, metric_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mftkit.base.json_types import JsonObject
    from mftkit.evaluation.results import EvaluationResults

PAGE = "evaluation.html"
TEMPLATES = Path(__file__).parent / "templates"
SHOWN = 10
"""Answers of each kind that are shown per task: those that failed, and the others."""
LONGEST = 4000
"""Characters of a text that are shown."""


@dataclass(frozen=True)
class ShownAnswer:
    """An answer with its verdicts."""

    title: str
    mood: str
    """"good", "bad" or "open"."""
    verdicts: list[str]
    prompt: str
    answer: str
    reasoning: str
    reference: str


@dataclass(frozen=True)
class ShownTask:
    """A task with some of its answers."""

    name: str
    caption: str
    answers: list[ShownAnswer]


def write_page(directory: Path, model: str, results: EvaluationResults) -> Path:
    """Write the page of an evaluation from its files; returns its path. Raises MftError if it cannot be written."""
    tasks = [_task(directory, task) for task in results.tasks]
    page = render(
        TEMPLATES,
        "evaluation.html.jinja",
        title=f"Evaluation of {model}",
        lead=f"{whole(len(tasks))} {'task' if len(tasks) == 1 else 'tasks'}",
        notices=list(results.notes),
        metrics=metrics_table(results),
        tasks=[task for task in tasks if task.answers],
    )
    write_text(
        directory / PAGE, page.encode("utf-8", "replace").decode("utf-8")
    )  # notes may hold lone surrogates
    return directory / PAGE


def metrics_table(results: EvaluationResults) -> Table:
    """Each metric of each task, with its interval."""
    rows = [
        (f"{task}: {name}", [Cell(text) for text in rest]) for task, name, *rest in metric_rows(results.tasks)
    ]
    caption = "The interval says what other rows of the same kind might have given."
    return Table(caption, METRIC_HEADINGS[1:], rows)


def _task(directory: Path, task: str) -> ShownTask:
    """The first answers that failed, then the first others."""
    failed: list[ShownAnswer] = []
    others: list[ShownAnswer] = []
    counts = [0, 0]
    for answer in _answers(directory / f"{task}.jsonl"):
        kept, number = (failed, 0) if answer.mood == "bad" else (others, 1)
        counts[number] += 1
        if len(kept) < SHOWN:
            kept.append(answer)
    shown = [*failed, *others]
    caption = (
        f"{len(shown)} of {whole(sum(counts))} answers, those that failed first; all are in {task}.jsonl."
    )
    return ShownTask(task, caption, shown)


def _answers(file: Path) -> Iterator[ShownAnswer]:
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            row: JsonObject = json.loads(line)
            for number, answer in enumerate(row["answers"]):
                verdicts = [
                    (name, each[number]) for name, each in row["verdicts"].items() if number < len(each)
                ]
                yield _shown(row, answer, number, verdicts)


def _shown(
    row: JsonObject, answer: JsonObject, number: int, verdicts: Sequence[tuple[str, JsonObject]]
) -> ShownAnswer:
    passed = [verdict["passed"] for _name, verdict in verdicts if verdict["passed"] is not None]
    several = f", answer {number + 1}" if len(row["answers"]) > 1 else ""
    cut = "" if answer["complete"] else " (cut off)"
    return ShownAnswer(
        title=f"{row['id']}{several}{cut}",
        mood="open" if not passed else "good" if all(passed) else "bad",
        verdicts=[_verdict(name, verdict) for name, verdict in verdicts],
        prompt=_text(row["prompt"]),
        answer=_text(answer["text"]),
        reasoning=_text(answer.get("reasoning")),
        reference=_text(row["reference"]),
    )


def _verdict(name: str, verdict: JsonObject) -> str:
    scores = ", ".join(f"{metric} {value:.4g}" for metric, value in verdict["scores"].items())
    note = f" ({verdict['note']})" if verdict["note"] else ""
    return f"{name}: {scores}{note}" if scores else f"{name}{note}"


def _text(value: object) -> str:
    text = "" if value is None else str(value)
    more = len(text) - LONGEST
    return text if more <= 0 else f"{text[:LONGEST]}\n... {whole(more)} more characters"
