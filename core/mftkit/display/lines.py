"""Train and valid lines of metrics.jsonl, as lines for a person."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rich.text import Text

from mftkit.base.formatting import duration, nats, one_line, share, whole

if TYPE_CHECKING:
    from pathlib import Path


def read_lines(directory: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics.jsonl; none where there is no such file."""
    path = directory / "metrics.jsonl"
    if not path.exists():
        return []
    return [json.loads(text) for text in path.read_text(encoding="utf-8").split("\n") if text]


def train_facts(line: dict[str, Any]) -> list[str]:
    """What a train line says of all tasks together."""
    told = [
        f"epoch {line['epoch']:.2f}",
        f"loss {nats(line['loss'])}",
        f"learning rate {line['learning_rate']:.2e}",
        f"grad norm {line['grad_norm']:.3f}",
        f"{whole(line['tokens_per_second'])} tokens/s",
        f"padding {share(line['padding'])}",
    ]
    auxiliary = line.get("auxiliary_loss")
    return told if auxiliary is None else [*told, f"auxiliary loss {nats(auxiliary)}"]


def train_line(line: dict[str, Any], total: int | None, left: float | None) -> str:
    """A train line without a terminal, all of it in one line."""
    parts = [f"step {line['step']}" + (f"/{total}" if total is not None else ""), *train_facts(line)]
    if left is not None:
        parts.append(f"left {duration(left)}")
    tasks = (
        f"{one_line(name)} {nats(task['loss'])} weight {task['weight']:.3f}"
        for name, task in line["tasks"].items()
    )
    return "  ".join(parts) + " | " + ", ".join(tasks)


class Validations:
    """Sets each validation against the one before, and finds the best."""

    def __init__(self) -> None:
        self._before: dict[str, float] = {}
        self._best: float | None = None

    @staticmethod
    def before(step: int, directory: Path | None) -> Validations:
        """With what a run that goes on has in its directory from before ``step``."""
        validations = Validations()
        for line in read_lines(directory) if directory else []:
            if line["event"] == "valid" and line["step"] < step and line["loss"] is not None:
                validations.told(line, arrows=False)
        return validations

    def told(self, line: dict[str, Any], *, arrows: bool) -> list[Text]:
        """A valid line in parts; ``arrows`` for a terminal, else the change as a number."""
        mean = line["loss"]
        losses = {"": mean, **{name: task["loss"] for name, task in line["tasks"].items()}}
        parts = [Text(f"validation at step {line['step']}")]
        for key, loss in losses.items():
            told = one_line(key) if key else "mean"
            parts.append(self._change(told, loss, self._before.get(key), arrows=arrows))
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
