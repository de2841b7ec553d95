"""What the runs left, as tables of text: losses by task, time to stop, an unseen task, forgetting."""

from __future__ import annotations

import json
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Table:
    """A table of text."""

    title: str
    head: list[str]
    rows: list[list[str]]
    note: str = ""


@dataclass(frozen=True)
class Results:
    """The files below an output directory of the experiment."""

    comparison: dict[str, Any]
    """compare.json."""
    outside: dict[str, dict[str, float]]
    """A model's name, as ``models`` has it, or "base", to the losses on what no arm trains."""
    path: Path

    @classmethod
    def read(cls, output: Path) -> Results:
        """Read them."""
        comparison = json.loads((output / "arms" / "compare.json").read_text(encoding="utf-8"))
        outside = json.loads((output / "outside.json").read_text(encoding="utf-8"))
        return cls(comparison, outside, output / "arms")

    @property
    def arms(self) -> list[dict[str, Any]]:
        """Arms as compare.json has them."""
        return list(self.comparison["arms"])

    def metrics(self, run: dict[str, Any]) -> list[dict[str, Any]]:
        """The lines of a run's metrics.jsonl; none if it has not begun."""
        file = self.path / run["directory"] / "metrics.jsonl"
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
        return [json.loads(line) for line in lines]


def spread(values: Sequence[float | None]) -> str:
    """Mean and standard deviation, in nats per token."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    return f"{fmean(known):.3f}" + (f" ±{stdev(known):.3f}" if len(known) > 1 else "")


def short(arm: dict[str, Any]) -> str:
    """An arm's name without its options; those of a merged arm tell it from the others."""
    return str(arm["label"]) if arm.get("merge") else str(arm["label"]).partition(" (")[0]


def models(arm: dict[str, Any], seeds: int) -> dict[str, str]:
    """An arm's models by name, with their directories; a soup is another model with each more seed."""
    trained = {run["directory"]: run["directory"] for run in arm["runs"]}
    soup = f" of {seeds} seeds" if arm["kind"] == "soup" else ""
    return trained | {directory + soup: directory for directory in arm.get("directories", [])}


def loss_table(results: Results) -> Table:
    """Best validation loss of each task, by arm."""
    tasks = list(results.arms[0]["losses"])
    rows = [
        [short(arm), *(spread(arm["losses"][task]) for task in tasks), spread(arm["mean_by_seed"])]
        for arm in results.arms
    ]
    return Table(
        "Each task by each arm: validation loss (RQ1, RQ2)",
        ["arm", *tasks, "mean"],
        rows,
        "Lowest validation loss, nats per token, mean ± standard deviation over seeds; of a merged model and a soup, "
        "which is one model of all seeds, the loss.",
    )


def stop_table(results: Results) -> Table:
    """Steps, epochs and seconds until the best loss and the stop."""
    rows = []
    for arm in results.arms:
        runs = [run for run in arm["runs"] if run["steps"]]
        ends = [results.metrics(run) for run in runs]
        best = [line["best_step"] for lines in ends for line in lines[-1:] if line.get("best_step")]
        epochs = [
            line["epoch"]
            for lines in ends
            for line in lines
            if line["event"] == "train" and _last(line, lines)
        ]
        early = sum(run["state"] == "early-stopped" for run in runs)
        rows.append(
            [
                short(arm),
                f"{fmean(best):.0f}" if best else "-",
                f"{fmean(epochs):.2f}" if epochs else "-",
                f"{early} of {len(runs)}" if runs else "-",
                f"{arm['seconds']:.0f} s" if arm["seconds"] else "-",
            ]
        )
    return Table(
        "Training cost: epochs and time to stop",
        ["arm", "best step", "epochs trained", "runs stopped early", "time of one seed"],
        rows,
        "Means over runs; single: over the models of all tasks, their time added up. Merged arms and soups are not "
        "trained: their time is that of merging and measuring.",
    )


def _last(line: dict[str, Any], lines: list[dict[str, Any]]) -> bool:
    return bool(line is [each for each in lines if each["event"] == "train"][-1])


def outside_table(results: Results, task: str, title: str, note: str) -> Table:
    """The loss of every arm on a task that none trains, before and after."""
    before = results.outside["base"][task]
    rows = [["base", f"{before:.3f}", ""]]
    for arm in results.arms:
        names = models(arm, len(results.comparison["seeds"]))
        losses = [results.outside[name][task] for name in names if name in results.outside]
        if losses:
            rows.append([short(arm), spread(losses), f"{fmean(losses) - before:+.3f}"])
    return Table(title, ["arm", "loss", "change"], rows, note)


def tables(results: Results) -> list[Table]:
    """All tables of the page."""
    outside = "Nats per token, mean ± standard deviation over runs."
    return [
        loss_table(results),
        stop_table(results),
        outside_table(results, "text-to-sql", "An unseen task: loss on text-to-SQL (RQ3)", outside),
        outside_table(
            results, "python", "Forgetting: loss on held-out Python source, before and after", outside
        ),
    ]
