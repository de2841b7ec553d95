"""What a run came to, from its metrics.jsonl."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from mftkit.base.formatting import nats, one_line, perplexity, place, whole
from mftkit.display.plan import INDENT
from mftkit.display.tables import NumericTable
from mftkit.reporting.lines import ValidLine
from mftkit.runs.metrics_file import MetricsFile

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType

    from mftkit.reporting.lines import TrainLine
    from mftkit.reporting.outcome import Outcome
    from mftkit.runs.metrics_file import Metrics

MEAN = "mean of tasks"


def result_view(directory: Path, outcome: Outcome) -> RenderableType:
    """A table of losses, and where the model lies and how it is loaded."""
    metrics = MetricsFile(directory / "metrics.jsonl").read()
    title = f"{outcome.reason} after step {whole(outcome.step)}"
    parts: list[RenderableType] = [Text(title, style="bold"), Text()]
    losses = _losses(metrics)
    if losses is not None:
        parts += [Padding(losses, INDENT, expand=False), Text()]
    if outcome.is_complete:
        parts.append(_model(directory / "model", outcome.best_step))
        if (directory / "best" / "best.json").exists():
            where = one_line(place(directory / "best"))
            parts.append(Text(f"each task's own best, and the best by mean rank: {where}", overflow="fold"))
    return Group(*parts)


def how_it_ended(directory: Path, outcome: Outcome) -> str | None:
    """What to know of a run that did not reach its end; None of one that did."""
    if outcome.reason == "interrupted":
        by = f" by {outcome.signal.name}" if outcome.signal is not None else ""
        return (
            f"interrupted{by} after step {outcome.step}, with a checkpoint saved; "
            f"the same command goes on from there ({place(directory)})"
        )
    if outcome.reason == "failed":
        return f"the run failed in step {outcome.step}: {outcome.error}"
    return None


def _losses(metrics: Metrics) -> NumericTable | None:
    valid = [(line.step, _by_name(line)) for line in metrics.valid]
    if valid:
        headers = ["validation loss", "first", "best", "at step", "last", "perplexity\nof best"]
        return _table(headers, [_best_row(name, valid) for name in _names(valid)])
    train = [(line.step, _by_name(line)) for line in metrics.train]
    if train:
        headers = ["training loss", "first", "last"]
        return _table(headers, [_ends_row(name, train) for name in _names(train)])
    return None


def _by_name(line: TrainLine | ValidLine) -> dict[str, float]:
    """Finite losses of a line, task by task; of a valid line also their mean, under ``MEAN``."""
    losses = {name: task.loss for name, task in line.tasks.items()}
    if isinstance(line, ValidLine):
        losses[MEAN] = line.loss
    return {name: loss for name, loss in losses.items() if loss is not None}


def _names(series: list[tuple[int, dict[str, float]]]) -> list[str]:
    names = dict.fromkeys(name for _, losses in series for name in losses)
    return sorted(names, key=lambda name: name == MEAN)


def _best_row(name: str, series: list[tuple[int, dict[str, float]]]) -> list[str]:
    of_task = [(losses[name], step) for step, losses in series if name in losses]
    best, step = min(of_task)
    told = "-" if name == MEAN else perplexity(best)
    return [name, nats(of_task[0][0]), nats(best), whole(step), nats(of_task[-1][0]), told]


def _ends_row(name: str, series: list[tuple[int, dict[str, float]]]) -> list[str]:
    of_task = [losses[name] for _, losses in series if name in losses]
    return [name, nats(of_task[0]), nats(of_task[-1])]


def _table(headers: list[str], rows: list[list[str]]) -> NumericTable:
    footer = rows.pop() if rows and rows[-1][0] == MEAN else None
    return NumericTable(headers, rows, footer)


def _model(path: Path, best_step: int | None) -> RenderableType:
    which = (
        "the last step's"
        if best_step is None
        else f"of step {whole(best_step)}, best by mean validation loss"
    )
    where = one_line(place(path))
    return Group(
        Text(f"model, {which}: {where}", overflow="fold"),
        Text(f"  model = transformers.AutoModelForCausalLM.from_pretrained({where!r})", overflow="fold"),
        Text(f"  tokenizer = transformers.AutoTokenizer.from_pretrained({where!r})", overflow="fold"),
    )
