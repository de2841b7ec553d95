"""The metrics of runs as tables of pandas."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from mftkit.base.json_types import JsonObject
    from mftkit.runs.record import RunRecord

_FIRST = ["event", "step", "epoch", "loss"]


def metrics_frame(run: RunRecord) -> pd.DataFrame:
    """One row per train and valid line of metrics.jsonl, in the order of the file; one column per number.

    The columns of a task are named as the keys of the line: ``tasks.NAME.loss``, ``tasks.NAME.weight`` and so on.
    """
    import pandas as pd

    frame = pd.json_normalize([line for _order, line in _ordered(run)])
    return (
        frame
        if frame.empty
        else frame[[*_known(_FIRST, frame), *(c for c in frame.columns if c not in _FIRST)]]
    )


def task_metrics_frame(run: RunRecord) -> pd.DataFrame:
    """One row per task of each line (the long form, for grouping and plotting)."""
    import pandas as pd

    rows = [
        {**{key: line.get(key) for key in ("event", "step", "epoch")}, "task": task, **numbers}
        for _order, line in _ordered(run)
        for task, numbers in line["tasks"].items()
    ]
    return pd.DataFrame(rows)


def _ordered(run: RunRecord) -> list[tuple[tuple[int, bool], JsonObject]]:
    """The lines by step, a validation after the train line of the same step."""
    lines: list[tuple[tuple[int, bool], JsonObject]] = [
        ((line.step, False), line.to_json()) for line in run.train
    ]
    lines += [((line.step, True), line.to_json()) for line in run.valid]
    return sorted(lines, key=lambda pair: pair[0])


def _known(names: list[str], frame: pd.DataFrame) -> list[str]:
    return [name for name in names if name in frame.columns]
