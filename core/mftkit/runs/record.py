"""What a run directory holds, read as it is: whole, still being written, or damaged."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mftkit_registry import MftError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class RunRecord:
    """The files of one run directory, for a report."""

    path: Path
    spec: dict[str, Any]
    environment: dict[str, Any]
    plan: dict[str, Any]
    """As the run told it at its start; empty for a run of a version that did not keep it."""
    train: list[dict[str, Any]]
    valid: list[dict[str, Any]]
    end: dict[str, Any] | None
    """The last line of a run that has ended."""
    faults: list[str] = field(default_factory=list)
    """What could not be read, in words."""

    @property
    def name(self) -> str:
        """The run's name, else its directory's."""
        return str(self.spec.get("name") or self.path.name)

    @property
    def tasks(self) -> list[str]:
        """Names in the spec's order; those of the metrics where there is no spec."""
        told = [str(task["name"]) for task in self.spec.get("tasks", ()) if isinstance(task, dict)]
        seen = [name for line in (*self.train, *self.valid) for name in line["tasks"]]
        return list(dict.fromkeys(told or seen))

    @property
    def state(self) -> str:
        """How it ended, in a word or two."""
        return "not ended" if self.end is None else str(self.end.get("reason"))

    @property
    def last_step(self) -> int:
        """The last step that metrics tell of."""
        lines = [*self.train[-1:], *self.valid[-1:]]
        told = [int(line["step"]) for line in lines]
        return max([*told, int((self.end or {}).get("step") or 0)])


def read_run(path: Path) -> RunRecord:
    """The run in a directory. Raises MftError where there is none."""
    if not path.is_dir():
        raise MftError(
            f"{path}: {'is no directory' if path.exists() else 'no such directory'}; give a run's."
        )
    if not any((path / name).is_file() for name in ("metrics.jsonl", "spec.json")):
        raise MftError(f"{path}: holds no run (neither metrics.jsonl nor spec.json is there).")
    faults: list[str] = []
    lines = _lines(path / "metrics.jsonl", faults)
    ends = [line for line in lines[-1:] if line["event"] == "end"]
    return RunRecord(
        path=path,
        spec=_object(path / "spec.json", faults),
        environment=_object(path / "environment.json", faults),
        plan=_object(path / "plan.json", faults),
        train=[line for line in lines if line["event"] == "train"],
        valid=[line for line in lines if line["event"] == "valid"],
        end=ends[0] if ends else None,
        faults=faults,
    )


def _object(path: Path, faults: list[str]) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        faults.append(f"{path.name} cannot be read: {error}")
        return {}
    if not isinstance(value, dict):
        faults.append(f"{path.name} holds no object")
        return {}
    return value


def _lines(path: Path, faults: list[str]) -> list[dict[str, Any]]:
    """Lines of metrics.jsonl that are whole; the others are told."""
    if not path.is_file():
        faults.append("metrics.jsonl is not there: the run has told no numbers yet")
        return []
    texts = path.read_text(encoding="utf-8", errors="replace").split("\n")
    good, bad = [], []
    for number, text in enumerate(texts, 1):
        line = _line(text)
        if line is not None:
            good.append(line)
        elif text:
            bad.append(number)
    if bad and bad[-1] == len(texts):
        bad.pop()
        faults.append("the last line of metrics.jsonl is cut off, and left out: it is being written, or was")
    if bad:
        told = ", ".join(map(str, bad[:8])) + (", ..." if len(bad) > 8 else "")
        faults.append(f"metrics.jsonl: {len(bad)} damaged lines are left out (line {told})")
    return good


_KEYS = {"train": {"loss", "weight", "tokens", "samples"}, "valid": {"loss"}}


def _line(text: str) -> dict[str, Any] | None:
    """A line that has what its event has to have."""
    try:
        line = json.loads(text)
    except ValueError:
        return None
    if not isinstance(line, dict) or not isinstance(line.get("step"), int):
        return None
    if line.get("event") == "end":
        return line
    wanted = _KEYS.get(str(line.get("event")))
    tasks = line.get("tasks")
    if wanted is None or not isinstance(tasks, dict) or "loss" not in line:
        return None
    whole = all(isinstance(task, dict) and wanted <= task.keys() for task in tasks.values())
    return line if whole else None
