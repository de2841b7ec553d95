"""Looking at data files: what is in them, and some of their rows. They are read as a task's files are."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from statistics import mean, median
from typing import TYPE_CHECKING, Any, NamedTuple

from mftkit.data.rows.formats import CONVERSATIONS, PAIRS, BadRow, RowError
from mftkit.data.rows.row_texts import said
from mftkit.data.rows.sources import expand

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from mftkit.data.rows.files import Source
    from mftkit.data.rows.row_texts import RowTexts
    from mftkit.similarity.contamination import Contamination
    from mftkit.similarity.near import NearIndex

SAMPLES = 3


class LocatedRow(NamedTuple):
    """A row and where it stands."""

    source: str
    line: int
    row: dict[str, Any]
    said: RowTexts

    @property
    def place(self) -> str:
        """``PATH:LINE``."""
        return f"{self.source}:{self.line}"


def data_sources(paths: Sequence[Path], warn: Callable[[str], None]) -> tuple[Source, ...]:
    """The files that paths, globs and directories name. Raises MftError for one that gives no file."""
    return expand(paths, "PATH", warn)


def iter_located_rows(
    sources: Iterable[Source], bad: Callable[[RowError], None] | None = None
) -> Iterator[LocatedRow]:
    """Every row that can be read, as a chat or as a text; a bad one goes to ``bad``, or is raised as RowError."""
    for source in sources:
        for numbered in source.rows():
            try:
                if isinstance(numbered.value, BadRow):
                    raise numbered.value
                if not isinstance(numbered.value, dict):
                    raise BadRow("a row must be a JSON object")
                texts = said(numbered.value)
            except BadRow as wrong:
                error = RowError(source.name, numbered.line, str(wrong))
                if bad is None:
                    raise error from None
                bad(error)
                continue
            yield LocatedRow(source.name, numbered.line, numbered.value, texts)


def format_name(row: dict[str, Any]) -> str:
    """The keys by which a good row is read.

    >>> format_name({"id": 1, "prompt": "Why?", "answer": "So."})
    'prompt/answer'
    """
    for key in CONVERSATIONS:
        if key in row:
            return key
    return next(("/".join(pair) for pair in PAIRS if pair[0] in row and pair[1] in row), "text")


def sampled(rows: Iterable[LocatedRow], number: int, seed: int) -> list[LocatedRow]:
    """So many rows, each as likely as any other, in the order in which they stand; in one pass."""
    drawn = random.Random(seed)
    kept: list[tuple[int, LocatedRow]] = []
    for index, row in enumerate(rows):
        if len(kept) < number:
            kept.append((index, row))
        elif (place := drawn.randrange(index + 1)) < number:
            kept[place] = (index, row)
    return [row for _, row in sorted(kept, key=lambda pair: pair[0])]


@dataclass
class Statistics:
    """Counts over data files; ``dump`` has them as JSON."""

    near: NearIndex | None = None
    contamination: Contamination | None = None
    tokens_of: Callable[[str], int] | None = None
    """Number of tokens of a text."""
    files: Counter[str] = field(default_factory=Counter)
    formats: Counter[str] = field(default_factory=Counter)
    names: Counter[str] = field(default_factory=Counter)
    """Values of ``data_name``."""
    turns: Counter[int] = field(default_factory=Counter)
    """Answers in a row to rows."""
    lengths: dict[str, list[int]] = field(default_factory=dict)
    """Of questions and answers, in characters and tokens."""
    bad: list[str] = field(default_factory=list)
    exact: list[str] = field(default_factory=list)
    alike: list[str] = field(default_factory=list)
    repeats: list[str] = field(default_factory=list)
    """Each a place, and what it repeats."""
    _seen: dict[bytes, str] = field(default_factory=dict)
    _places: list[str] = field(default_factory=list)

    def add(self, placed: LocatedRow) -> None:
        """Count a row."""
        row = placed.row
        self.files[placed.source] += 1
        self.formats[format_name(row)] += 1
        self.turns[len(placed.said.answered)] += 1
        if isinstance(row.get("data_name"), str):
            self.names[row["data_name"]] += 1
        self._measure("question", placed.said.asked)
        self._measure("answer", placed.said.answered)
        self._compare(placed)

    def _measure(self, what: str, texts: Sequence[str]) -> None:
        if not texts:
            return
        self.lengths.setdefault(f"{what} characters", []).append(sum(map(len, texts)))
        if self.tokens_of is not None:
            self.lengths.setdefault(f"{what} tokens", []).append(sum(map(self.tokens_of, texts)))

    def _compare(self, placed: LocatedRow) -> None:
        if self.contamination is not None and (found := self.contamination.repeats(placed.said)):
            self.repeats.append(f"{placed.place} {found.how}: {found.reference}, {found.detail}")
        text = "\n".join(placed.said.all)
        digest = sha256("".join(text.split()).encode()).digest()
        if digest in self._seen:
            self.exact.append(f"{placed.place} says what {self._seen[digest]} says")
            return
        self._seen[digest] = placed.place
        self._places.append(placed.place)
        if self.near is not None and (match := self.near.find_or_add(len(self._places) - 1, text)):
            self.alike.append(f"{placed.place} is {match.similarity:.0%} as {self._places[match.key]}")

    def dump(self) -> dict[str, Any]:
        """As JSON has it. Lengths are of all turns of a row together; samples are the first few."""
        return {
            "rows": sum(self.files.values()),
            "bad": _found(self.bad),
            "files": dict(self.files),
            "formats": dict(self.formats.most_common()),
            "data_name": dict(self.names.most_common()),
            "answers_in_a_row": {str(number): rows for number, rows in sorted(self.turns.items())},
            "lengths": {what: summary(numbers) for what, numbers in self.lengths.items()},
            "exact_repeats": _found(self.exact),
            "near_repeats": None if self.near is None else _found(self.alike),
            "contaminated": None if self.contamination is None else _found(self.repeats),
        }


def _found(places: Sequence[str]) -> dict[str, Any]:
    return {"rows": len(places), "samples": list(places[:SAMPLES])}


def summary(numbers: Sequence[int]) -> dict[str, float]:
    """Of lengths: total, mean, and the length that a share of them does not exceed.

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
