"""Finds arms that never acted: that trained exactly as another one did, or whose task weights never left 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.plugins import installed, kinds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mftkit.runs.record import RunRecord
    from mftkit.tools.compare.arms import Arm
    from mftkit.tools.compare.planning import PlannedRun

Trace = tuple[int, dict[int, tuple[float | None, ...]]]
"""The last step of a run, and its tasks' validation losses by step."""


def twins(
    arms: Sequence[Arm], runs: Sequence[PlannedRun], records: Mapping[str, RunRecord]
) -> dict[str, str]:
    """Arms that trained exactly as an earlier arm did, by their labels.

    Two runs have trained alike if they ended at the same step and all validation losses that both have, of at least
    one step, are the same to the last digit. Two arms have if their runs have for every seed. Only arms of one model
    for all tasks that are complete are compared.
    """
    traces = {arm.label: _traces(arm, runs, records) for arm in arms if not arm.is_single}
    complete = {label: trace for label, trace in traces.items() if trace is not None}
    found: dict[str, str] = {}
    for label, own in complete.items():
        for earlier, other in complete.items():
            if earlier == label:
                break
            if all(_alike(one, two) for one, two in zip(own, other, strict=True)):
                found[label] = earlier
                break
    return found


def weights_moved(arm: Arm, runs: Sequence[PlannedRun], records: Mapping[str, RunRecord]) -> bool | None:
    """Whether a task weight of an arm ever was another than 1, in its train lines.

    None for an arm whose balancer has equal weights by design, for single tasks, and as long as no run is complete.
    Weights of 0 are those of tasks that were stopped early.
    """
    balancer = installed.component_class(kinds.BALANCER, arm.balancer["name"])
    own = [records[run.key] for run in runs if run.arm is arm and run.key in records]
    if arm.is_single or balancer.neutral or not own or not all(record.is_complete for record in own):
        return None
    weights = [task.weight for record in own for line in record.train for task in line.tasks.values()]
    return any(weight not in (None, 0.0, 1.0) for weight in weights)


def _traces(arm: Arm, runs: Sequence[PlannedRun], records: Mapping[str, RunRecord]) -> list[Trace] | None:
    """The arm's traces by seed; None if a run is not complete."""
    own = [records.get(run.key) for run in runs if run.arm is arm]
    found = [_trace(record) for record in own if record is not None and record.is_complete]
    return found if len(found) == len(own) else None


def _trace(record: RunRecord) -> Trace:
    losses = {
        line.step: tuple(task.loss for task in line.tasks.values()) for line in record.valid if line.step > 0
    }
    return record.last_step, losses


def _alike(one: Trace, two: Trace) -> bool:
    both = one[1].keys() & two[1].keys()
    return one[0] == two[0] and bool(both) and all(one[1][step] == two[1][step] for step in both)
