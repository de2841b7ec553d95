"""The result of a run, from its metrics.jsonl."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from mftkit.base.formatting import nats, one_line, perplexity, place, whole
from mftkit.display.next_steps import next_steps
from mftkit.display.plan import INDENT
from mftkit.display.tables import NumericTable
from mftkit.runs.best_by import best_by_of, best_by_text
from mftkit.runs.metrics_file import MetricsFile
from mftkit.runs.series import MEAN, validation_losses
from mftkit.spec.training import LOSS

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType

    from mftkit.reporting.lines import TrainLine, ValidLine
    from mftkit.reporting.outcome import Outcome


def result_view(directory: Path, outcome: Outcome) -> RenderableType:
    """A table of losses, the model's path, and how to load it."""
    metrics = MetricsFile(directory / "metrics.jsonl").read()
    title = f"{outcome.reason} after step {whole(outcome.step)}"
    if outcome.stopped_by is not None:
        title += f", stopped by {one_line(outcome.stopped_by)}"
    parts: list[RenderableType] = [Text(title, style="bold"), Text()]
    losses = _validation_table(metrics.valid) if metrics.valid else _training_table(metrics.train)
    if losses is not None:
        parts += [Padding(losses, INDENT, expand=False), Text()]
    if outcome.is_complete:
        parts.append(_model(directory, outcome.best_step, metrics.valid))
        if (directory / "best" / "best.json").exists():
            best = one_line(place(directory / "best"))
            parts.append(Text(f"best of each task, and best by mean rank: {best}", overflow="fold"))
    if steps := next_steps(directory, outcome):
        parts += [Text(), Text("next:"), *(Text(f"  {what}: {how}", overflow="fold") for what, how in steps)]
    return Group(*parts)


def failure_text(directory: Path, outcome: Outcome) -> str | None:
    """Why a run did not reach its end, and what to do; None if it did."""
    if outcome.reason == "interrupted":
        by = f" by {outcome.signal.name}" if outcome.signal is not None else ""
        return (
            f"interrupted{by} after step {outcome.step}; a checkpoint was saved, and the same command resumes the run "
            f"({place(directory)})"
        )
    if outcome.reason == "failed":
        return f"the run failed in step {outcome.step}: {outcome.error}"
    return None


def _validation_table(lines: list[ValidLine]) -> NumericTable:
    tasks = list(dict.fromkeys(name for line in lines for name in line.tasks))
    rows = [
        [
            one.name,
            nats(one.first),
            nats(one.best),
            whole(one.step),
            nats(one.last),
            "-" if one.name == MEAN else perplexity(one.best),
        ]
        for one in validation_losses(lines, tasks)
    ]
    footer = rows.pop() if rows and rows[-1][0] == MEAN else None
    headers = ["validation loss", "first", "best", "at step", "last", "perplexity\nof best"]
    return NumericTable(headers, rows, footer)


def _training_table(lines: list[TrainLine]) -> NumericTable | None:
    """First and last losses, for a run without validation."""
    losses: dict[str, list[float]] = {}
    for line in lines:
        for name, task in line.tasks.items():
            if task.loss is not None:
                losses.setdefault(name, []).append(task.loss)
    rows = [[name, nats(each[0]), nats(each[-1])] for name, each in losses.items()]
    return NumericTable(["training loss", "first", "last"], rows) if rows else None


def _model(directory: Path, best_step: int | None, valid: list[ValidLine]) -> RenderableType:
    which = "from the last step"
    if best_step is not None:
        loss = next((line.loss for line in valid if line.step == best_step), None)
        by = best_by_of(directory)
        lowest = "" if loss is None or by != LOSS else f" ({nats(loss)})"
        which = f"from step {whole(best_step)}, best by {best_by_text(by)}{lowest}"
    shown = one_line(place(directory / "model"))
    return Group(
        Text(f"model, {which}: {shown}", overflow="fold"),
        Text(f"  model = transformers.AutoModelForCausalLM.from_pretrained({shown!r})", overflow="fold"),
        Text(f"  tokenizer = transformers.AutoTokenizer.from_pretrained({shown!r})", overflow="fold"),
    )
