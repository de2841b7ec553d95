"""The results of arms that were merged."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING

from mftkit.tools.compare.merge_record import read_merge
from mftkit.tools.compare.result import ArmResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mftkit.tools.compare.arms import Arm
    from mftkit.tools.compare.directory import ComparisonDirectory
    from mftkit.tools.compare.planning import Comparison


def merged_arm(
    arm: Arm, comparison: Comparison, directory: ComparisonDirectory, tasks: list[str]
) -> ArmResult:
    """What was measured of an arm's merged models: by seed, or once for a soup."""
    merges = [merge for merge in comparison.merges if merge.arm is arm]
    records = [read_merge(directory.merges / merge.key) for merge in merges]
    losses: dict[str, list[float | None]] = {
        task: [None if record is None else record.losses[task] for record in records] for task in tasks
    }
    means = [_mean([losses[task][i] for task in tasks]) for i in range(len(merges))]
    seconds = [0.0 if record is None else record.seconds for record in records]
    return ArmResult(
        label=arm.label,
        kind=arm.kind,
        loss=arm.loss,
        balancer=arm.balancer,
        losses=losses,
        at_step={task: [None] * len(merges) for task in tasks},
        model_losses=losses,
        mean_by_seed=means,
        mean_loss=_mean(means),
        mean_rank=None,
        seconds_by_seed=seconds,
        seconds=fmean(seconds),
        runs=[],
        settings={setting.key: setting.value for setting in arm.settings},
        merge=None if arm.merge is None else arm.merge.to_json(),
        directories=[f"merges/{merge.key}/model" for merge in merges],
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None
