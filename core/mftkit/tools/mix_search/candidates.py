"""Measured candidates: what they are worth, and the file that keeps them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from mftkit.tools.mix_search.options import LOSS
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mftkit.base.json_types import JsonObject
    from mftkit.tools.mix_search.meter import Measured
    from mftkit.tools.mix_search.shares import Shares


@dataclass(frozen=True)
class Candidate:
    """Proportions and what was measured of the specialists that were merged by them, as means over seeds."""

    shares: Shares
    origin: str
    losses: dict[str, float]
    metrics: dict[str, dict[str, float]]
    """Task to metrics by "EVALUATOR/METRIC"."""
    higher: tuple[str, ...] = ()
    """Names of the metrics of which a higher value is better."""

    def to_json(self, tasks: Sequence[str]) -> JsonObject:
        """As a line of the file has it."""
        return {
            "proportions": dict(zip(tasks, self.shares, strict=True)),
            "origin": self.origin,
            "losses": self.losses,
            "metrics": self.metrics,
            "higher_is_better": list(self.higher),
        }

    @classmethod
    def from_json(cls, given: JsonObject, tasks: Sequence[str]) -> Candidate:
        """Read a line of the file. Raises KeyError if something is missing."""
        shares = tuple(float(given["proportions"][task]) for task in tasks)
        higher = tuple(given["higher_is_better"])
        return cls(shares, given["origin"], given["losses"], given["metrics"], higher)

    @classmethod
    def of_seeds(cls, shares: Shares, origin: str, measured: Sequence[Measured]) -> Candidate:
        """The means over the seeds' models."""
        first = measured[0]
        losses = {task: fmean(one.losses[task] for one in measured) for task in first.losses}
        metrics = {
            task: {name: fmean(float(one.metrics[task][name]["value"]) for one in measured) for name in own}
            for task, own in first.metrics.items()
        }
        higher = {
            name for own in first.metrics.values() for name, each in own.items() if each["higher_is_better"]
        }
        return cls(shares, origin, losses, metrics, tuple(sorted(higher)))


def score(candidate: Candidate, by: str, weights: Mapping[str, float]) -> float:
    """The weighted mean over tasks of the loss or of a metric. Raises MftError if no task has the metric."""
    by_task = values(candidate, by)
    if not by_task:
        known = sorted({name for own in candidate.metrics.values() for name in own})
        raise MftError(f"--by {by}: there is no such metric; measured are {', '.join(known)}")
    total = sum(weights.get(task, 1.0) for task in by_task)
    return sum(weights.get(task, 1.0) * value for task, value in by_task.items()) / total


def values(candidate: Candidate, by: str) -> dict[str, float]:
    """Task to its loss, or to its metric."""
    if by == LOSS:
        return candidate.losses
    return {task: own[by] for task, own in candidate.metrics.items() if by in own}


def is_higher_better(candidate: Candidate, by: str) -> bool:
    """Whether larger scores are better."""
    return by in candidate.higher


class CandidateFile:
    """``candidates.jsonl``: a line for each measured candidate, written when it is measured."""

    def __init__(self, path: Path, tasks: Sequence[str], identity: str) -> None:
        """``identity``: what the numbers depend on; lines with another one are not used."""
        self._path, self._tasks, self._identity = path, tasks, identity
        self.known: dict[Shares, Candidate] = {}
        self.others = 0
        """Number of lines that are not used."""
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
            try:
                read = json.loads(line)
                found = Candidate.from_json(read, tasks)
            except (ValueError, KeyError, TypeError):  # the end of a line that a kill cut off
                continue
            if read.get("identity") == identity:
                self.known[found.shares] = found
            else:
                self.others += 1

    def add(self, candidate: Candidate) -> None:
        """Keep a candidate."""
        self.known[candidate.shares] = candidate
        line = json.dumps({"identity": self._identity, **candidate.to_json(self._tasks)})
        cut_off = self._path.is_file() and not self._path.read_bytes().endswith(b"\n")
        with self._path.open("a", encoding="utf-8") as file:
            file.write(("\n" if cut_off and self._path.stat().st_size else "") + line + "\n")
