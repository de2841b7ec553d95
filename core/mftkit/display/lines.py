"""Train and valid lines of metrics.jsonl as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from mftkit.base.formatting import nats, number, one_line
from mftkit.runs.metrics_file import MetricsFile

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.reporting.lines import TrainLine, ValidLine


def train_facts(line: TrainLine) -> list[str]:
    """The numbers of a train line that are about all tasks together."""
    facts = [
        f"epoch {number(line.epoch, '.2f')}",
        f"loss {nats(line.loss)}",
        f"learning rate {number(line.learning_rate, '.2e')}",
        f"grad norm {number(line.grad_norm, '.3f')}",
        f"{number(line.tokens_per_second, ',.0f')} tokens/s",
        f"padding {number(line.padding, '.1%')}",
    ]
    if line.auxiliary_loss is not None:
        facts.append(f"auxiliary loss {nats(line.auxiliary_loss)}")
    if line.compiled is not None:
        facts.append(f"compiled graphs {line.compiled}")
    return facts


def train_line(line: TrainLine, total: int | None, left: str) -> str:
    """A train line as one line of text."""
    parts = [f"step {line.step}" + (f"/{total}" if total is not None else ""), *train_facts(line)]
    if left:
        parts.append(left)
    tasks = (
        f"{one_line(name)} {nats(task.loss)} weight {number(task.weight, '.3f')}"
        for name, task in line.tasks.items()
    )
    return "  ".join(parts) + " | " + ", ".join(tasks)


class Validations:
    """Compares each validation with the one before, and finds the best."""

    def __init__(self) -> None:
        self._before: dict[str, float | None] = {}
        self._best: float | None = None

    @staticmethod
    def before(step: int, directory: Path | None) -> Validations:
        """With what a resumed run has in its directory from before ``step``."""
        validations = Validations()
        for line in MetricsFile(directory / "metrics.jsonl").read().valid if directory else []:
            if line.step < step and line.loss is not None:
                validations.parts(line, arrows=False)
        return validations

    def parts(self, line: ValidLine, *, arrows: bool) -> list[Text]:
        """A valid line in parts; ``arrows`` for a terminal, else the change as a number."""
        mean = line.loss
        losses = {"": mean, **{name: task.loss for name, task in line.tasks.items()}}
        parts = [Text(f"validation at step {line.step}")]
        for name, loss in losses.items():
            label = one_line(name) if name else "mean"
            parts.append(self._change(label, loss, self._before.get(name), arrows=arrows))
        if mean is not None:
            if self._best is not None and mean < self._best:
                parts[1].append(" best so far")
            self._best = mean if self._best is None else min(self._best, mean)
        self._before = losses
        return parts

    @staticmethod
    def _change(name: str, loss: float | None, before: float | None, *, arrows: bool) -> Text:
        text = Text(f"{name} {nats(loss)}")
        if before is None or loss is None:
            return text
        style, arrow = ("green", "↓") if loss < before else ("red", "↑") if loss > before else ("", "=")
        return text.append(f" {arrow}", style) if arrows else text.append(f" ({loss - before:+.4f})")
