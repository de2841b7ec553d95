"""Counts over data files: rows, formats, lengths, and what filters would drop."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from statistics import mean, median
from typing import TYPE_CHECKING, TypedDict

from mftkit.data.rows.row_texts import format_name
from mftkit.tools.data_stats.filters import CONTAMINATED, EXACT, NEAR

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mftkit.tools.data_stats.filters import DropCount
    from mftkit.tools.data_stats.rows import LocatedRow

SAMPLES = 3


class Found(TypedDict):
    """Rows of one sort: how many, and the first few with their places."""

    rows: int
    samples: list[str]


class Dropped(Found):
    """What a filter dropped, also by reason."""

    reasons: dict[str, int]


class StatisticsJson(TypedDict):
    """Output of ``mft data stats --json``. Lengths are of all turns of a row together."""

    rows: int
    bad: Found
    files: dict[str, int]
    formats: dict[str, int]
    data_name: dict[str, int]
    answers_in_a_row: dict[str, int]
    lengths: dict[str, dict[str, float]]
    exact_repeats: Found | None
    near_repeats: Found | None
    contaminated: Found | None
    filters: dict[str, Dropped]


@dataclass
class Statistics:
    """Counts over data files; ``to_json`` returns them."""

    tokens_of: Callable[[str], int] | None = None
    """Number of tokens in a text; None: lengths are counted in characters only."""
    files: Counter[str] = field(default_factory=Counter)
    formats: Counter[str] = field(default_factory=Counter)
    names: Counter[str] = field(default_factory=Counter)
    """Values of ``data_name``."""
    turns: Counter[int] = field(default_factory=Counter)
    """Numbers of answers in a row: how many rows have them."""
    lengths: dict[str, list[int]] = field(default_factory=dict)
    """Lengths of questions and answers, in characters and tokens."""
    bad: list[str] = field(default_factory=list)
    """Bad rows: the place and what is wrong."""
    searched: dict[str, DropCount] = field(default_factory=dict)
    """The filter that counted each statistic; one that was not counted is missing."""
    filters: dict[str, DropCount] = field(default_factory=dict)
    """Filters that were asked for by name."""

    def add(self, located: LocatedRow) -> None:
        """Count a row."""
        row = located.row
        self.files[located.source] += 1
        self.formats[format_name(row)] += 1
        self.turns[len(located.texts.answers)] += 1
        if isinstance(row.get("data_name"), str):
            self.names[row["data_name"]] += 1
        self._measure("question", located.texts.prompts)
        self._measure("answer", located.texts.answers)

    def _measure(self, what: str, texts: Sequence[str]) -> None:
        if not texts:
            return
        self.lengths.setdefault(f"{what} characters", []).append(sum(map(len, texts)))
        if self.tokens_of is not None:
            self.lengths.setdefault(f"{what} tokens", []).append(sum(map(self.tokens_of, texts)))

    def to_json(self) -> StatisticsJson:
        """Return all counts; a statistic that was not counted is None."""
        return {
            "rows": sum(self.files.values()),
            "bad": _found(self.bad),
            "files": dict(self.files),
            "formats": dict(self.formats.most_common()),
            "data_name": dict(self.names.most_common()),
            "answers_in_a_row": {str(number): rows for number, rows in sorted(self.turns.items())},
            "lengths": {what: summary(numbers) for what, numbers in self.lengths.items()},
            "exact_repeats": self._statistic(EXACT),
            "near_repeats": self._statistic(NEAR),
            "contaminated": self._statistic(CONTAMINATED),
            "filters": {
                name: {**_dropped(count), "reasons": dict(count.dropped.most_common())}
                for name, count in self.filters.items()
            },
        }

    def _statistic(self, name: str) -> Found | None:
        return _dropped(self.searched[name]) if name in self.searched else None


def _found(places: Sequence[str]) -> Found:
    return {"rows": len(places), "samples": list(places[:SAMPLES])}


def _dropped(count: DropCount) -> Found:
    return {"rows": count.rows, "samples": count.places[:SAMPLES]}


def summary(numbers: Sequence[int]) -> dict[str, float]:
    """Summarize lengths: total, mean, extremes, median, and the length that 95 % do not exceed.

    >>> summary([1, 2, 3, 4])
    {'total': 10, 'mean': 2.5, 'least': 1, 'median': 2.5, 'of_95_percent': 4, 'most': 4}
    """
    ordered = sorted(numbers)
    return {
        "total": sum(ordered),
        "mean": round(mean(ordered), 1),
        "least": ordered[0],
        "median": median(ordered),
        "of_95_percent": ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))],
        "most": ordered[-1],
    }
