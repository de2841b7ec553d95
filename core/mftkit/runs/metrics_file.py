"""metrics.jsonl: the one writer and the one reader of a run's measurements."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mftkit.base.atomic_files import disk_errors, write_text
from mftkit.reporting.lines import (
    EndLine,
    EvaluationLine,
    Line,
    RollbackLine,
    TrainLine,
    ValidLine,
    line_from_json,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass
class Metrics:
    """The content of a metrics.jsonl, without training that a roll-back has given up."""

    train: list[TrainLine] = field(default_factory=list)
    valid: list[ValidLine] = field(default_factory=list)
    evaluations: list[EvaluationLine] = field(default_factory=list)
    rollbacks: list[RollbackLine] = field(default_factory=list)
    end: EndLine | None = None
    """The last line of a run that has ended."""
    damaged: list[int] = field(default_factory=list)
    """Numbers of the lines that cannot be read, from 1; they are left out."""
    is_cut_off: bool = False
    """True if the last line is incomplete: it is being written, or the run was killed."""

    @property
    def last_step(self) -> int:
        """The last step that is known; 0 if none was made."""
        steps = [line.step for lines in (self.train, self.valid) for line in lines[-1:]]
        return max([*steps, self.end.step if self.end and self.end.is_complete else 0])

    def roll_back(self, line: RollbackLine) -> None:
        """Leave out the lines past the step to which a run went back."""
        self.rollbacks.append(line)
        self.train = [each for each in self.train if each.step <= line.to]
        self.valid = [each for each in self.valid if each.step <= line.to]
        self.evaluations = [each for each in self.evaluations if each.step <= line.to]


class MetricsFile:
    """metrics.jsonl: one JSON object per line, appended and flushed."""

    def __init__(self, path: Path, check: Callable[[], None] = lambda: None) -> None:
        """``check`` is called before a line is written, and raises MftError if it must not be."""
        self.path = path
        self._check = check

    def write(self, line: Line) -> None:
        """Append a line; numbers that are not finite are written as null."""
        text = json.dumps(_finite(line.to_json()), ensure_ascii=False, allow_nan=False)
        self._check()
        with disk_errors(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(text + "\n")

    def read(self) -> Metrics:
        """All lines that can be read; empty if there is no file."""
        metrics = Metrics()
        texts = self._texts()
        for number, text in enumerate(texts, 1):
            try:
                line = line_from_json(json.loads(text))
            except ValueError:  # not JSON, or a DamagedLineError
                if text:
                    metrics.damaged.append(number)
                continue
            if line is None:
                continue
            if isinstance(line, TrainLine):
                metrics.train.append(line)
            elif isinstance(line, ValidLine):
                metrics.valid.append(line)
            elif isinstance(line, EvaluationLine):
                metrics.evaluations.append(line)
            elif isinstance(line, RollbackLine):
                metrics.roll_back(line)
            metrics.end = line if isinstance(line, EndLine) else None
        if metrics.damaged and metrics.damaged[-1] == len(texts):  # a whole line is followed by a line end
            metrics.damaged.pop()
            metrics.is_cut_off = True
        return metrics

    def cut(self, step: int, *, rollbacks: int = 0, reopened: bool = False) -> list[int]:
        """Drop lines past ``step``, and earlier ends: a resumed run writes them again.

        Damaged lines are dropped, too; returns the numbers of those, from 1, that are not written again.

        Args:
            step: of the checkpoint from which the run resumes; -1: of none.
            rollbacks: number of roll-backs before the checkpoint; what was written before the last of them is kept.
            reopened: the train line of ``step`` is written again, too, over more steps.
        """
        texts = self._texts()
        before, after = _split(texts, rollbacks)
        trained = step - 1 if reopened else step
        kept = [place for place, text in enumerate(before) if _event(text) not in ("", "end")]
        kept += [place for place, text in enumerate(after, len(before)) if _is_before(text, step, trained)]
        write_text(self.path, "".join(texts[place] + "\n" for place in kept))
        return [
            place + 1 for place in range(max(kept, default=0)) if texts[place] and not _event(texts[place])
        ]

    def _texts(self) -> list[str]:
        if not self.path.exists():
            return []
        return self.path.read_text(encoding="utf-8", errors="replace").split("\n")


def describe_damaged(numbers: list[int]) -> str:
    """A sentence about damaged lines of metrics.jsonl, by their numbers."""
    shown = ", ".join(map(str, numbers[:8])) + (", ..." if len(numbers) > 8 else "")
    lines = "1 damaged line was" if len(numbers) == 1 else f"{len(numbers)} damaged lines were"
    return f"metrics.jsonl: {lines} left out (line {shown})"


def _split(texts: list[str], rollbacks: int) -> tuple[list[str], list[str]]:
    """Lines up to the last of so many roll-backs, and those after it up to the next one.

    If the last of them was not written, because the run was killed just then, all lines are before it.
    """
    places = [place for place, text in enumerate(texts) if _event(text) == "rollback"]
    if rollbacks > len(places):
        return texts, []
    first = places[rollbacks - 1] + 1 if rollbacks else 0
    return texts[:first], texts[first : places[rollbacks] if rollbacks < len(places) else None]


def _event(text: str) -> str:
    """The event of a line; "" where it cannot be read."""
    line = _object(text)
    return "" if line is None else line["event"]


def _object(text: str) -> dict[str, Any] | None:
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) and isinstance(line.get("event"), str) else None


def _is_before(text: str, step: int, trained: int) -> bool:
    """Return True for a line up to ``step``, or a train line up to step ``trained``, that is not an end.

    Lines of later versions with unknown events count.
    """
    line = _object(text)
    if line is None or line["event"] == "end":
        return False
    last = trained if line["event"] == "train" else step
    return isinstance(line.get("step"), int) and line["step"] <= last


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
