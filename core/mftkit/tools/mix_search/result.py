"""What a search found, and its file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mftkit.base.atomic_files import write_json
from mftkit.tools.mix_search.candidates import score, values
from mftkit.tools.mix_search.directory import RESULT, SNIPPET
from mftkit.tools.mix_search.shares import distance

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mftkit.base.json_types import JsonObject
    from mftkit.tools.mix_search.candidates import Candidate
    from mftkit.tools.mix_search.options import SearchOptions
    from mftkit.tools.mix_search.shares import Shares
    from mftkit.tools.mix_search.verified import VerifiedMixings

UNIFORM, BY_SIZE, OWN = "uniform", "by size", "the spec's"
APART = 0.05
"""Share that has to move between two candidates that are both named; nearer ones are the same to a reader."""


@dataclass(frozen=True)
class SearchResult:
    """A search that has measured its candidates."""

    name: str
    tasks: list[str]
    seeds: list[int]
    options: SearchOptions
    unit: str
    """"samples" or "tokens": what the proportions are shares of."""
    higher_is_better: bool
    specialists: list[JsonObject]
    candidates: list[Candidate]
    """Best first."""
    baselines: dict[str, Candidate]
    """By name: uniform, by size and, if it has proportions, the spec's own."""
    mixing: JsonObject
    """The section ``mixing`` of a spec with the best proportions."""
    verified: VerifiedMixings | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def best(self) -> Candidate:
        """The candidate with the best value."""
        return self.candidates[0]

    def value(self, candidate: Candidate) -> float:
        """What a candidate is ranked by: the weighted mean over tasks."""
        return score(candidate, self.options.by, self.options.weights)

    def by_task(self, candidate: Candidate) -> dict[str, float]:
        """Task to its loss, or to its metric."""
        return values(candidate, self.options.by)

    def to_json(self) -> JsonObject:
        """As mix.json has it."""
        return {
            "name": self.name,
            "tasks": self.tasks,
            "seeds": self.seeds,
            "by": self.options.by,
            "higher_is_better": self.higher_is_better,
            "weights": {task: self.options.weights.get(task, 1.0) for task in self.by_task(self.best)},
            "proportions_of": self.unit,
            "specialists": self.specialists,
            "best": self._named(self.best),
            "baselines": {name: self._named(each) for name, each in self.baselines.items()},
            "candidates": [self._named(each) for each in self.candidates],
            "mixing": self.mixing,
            "verified": None if self.verified is None else self.verified.to_json(self.tasks),
            "notes": self.notes,
        }

    def _named(self, candidate: Candidate) -> JsonObject:
        found = candidate.to_json(self.tasks)
        return {
            "value": self.value(candidate),
            **{key: found[key] for key in found if key != "higher_is_better"},
        }


def write_result(directory: Path, result: SearchResult) -> None:
    """Write mix.json, and proportions.json for a spec."""
    write_json(directory / RESULT, result.to_json())
    write_json(directory / SNIPPET, {"mixing": result.mixing})


def distinct(candidates: Sequence[Candidate], count: int) -> list[Candidate]:
    """The first so many candidates of which no two are nearly the same."""
    found: list[Candidate] = []
    for candidate in candidates:
        if len(found) < count and all(distance(candidate.shares, one.shares) >= APART for one in found):
            found.append(candidate)
    return found


def ordinal(number: int) -> str:
    """The name of a candidate by its rank.

    >>> [ordinal(number) for number in (1, 2, 3)]
    ['best', 'other 1', 'other 2']
    """
    return "best" if number == 1 else f"other {number - 1}"


def named_candidates(result: SearchResult, count: int) -> list[tuple[str, Candidate]]:
    """The best candidates and the baselines, each once, by name."""
    found: dict[Shares, tuple[str, Candidate]] = {}
    for number, candidate in enumerate(distinct(result.candidates, count), 1):
        found[candidate.shares] = (ordinal(number), candidate)
    for name, candidate in result.baselines.items():
        before = found.get(candidate.shares)
        found[candidate.shares] = (f"{before[0]}, {name}" if before else name, candidate)
    return list(found.values())
