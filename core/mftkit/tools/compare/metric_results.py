"""What a comparison says of a metric."""

from __future__ import annotations

from dataclasses import dataclass

from mftkit.tools.compare.noise import Difference


@dataclass(frozen=True)
class MetricDifference(Difference):
    """An arm minus the best one, on the metric's own scale."""

    higher_is_better: bool = True

    @property
    def verdict(self) -> str:
        """One of "worse", "better" and "no difference"."""
        found = super().verdict
        return {"worse": "better", "better": "worse"}.get(found, found) if self.higher_is_better else found


@dataclass(frozen=True)
class MetricResult:
    """One metric of one task, over all arms."""

    task: str
    metric: str
    """"EVALUATOR/METRIC"."""
    higher_is_better: bool
    scale: str
    """"share", "points" or "nats"."""
    best: str | None
    """The arm with the best mean over seeds, of those that are complete; None without any."""
    differences: list[MetricDifference]
    """Each other arm minus the best one, by the rule of noise; empty with one seed."""
