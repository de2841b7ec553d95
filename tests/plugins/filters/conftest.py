from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

import mftkit
from mftkit.chat_client import open_chat
from mftkit.plugins import installed, kinds
from mftkit.plugins.executors import choose_executor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass
class Passed:
    """What a filter did."""

    kept: list[dict[str, Any]] = field(default_factory=list)
    dropped: list[tuple[dict[str, Any], str, str]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    @property
    def reasons(self) -> Counter[str]:
        return Counter(reason for _, reason, _ in self.dropped)


@pytest.fixture
def pass_through(tmp_path: Path) -> Callable[..., Passed]:
    """``pass_through(name, rows, **options)``: rows through a filter, as a task uses it."""

    def passed(name: str, rows: list[dict[str, Any]], **options: Any) -> Passed:
        found = Passed()
        context = mftkit.FilterContext(
            seed=7,
            task="a-task",
            directory=tmp_path,
            drop=lambda row, reason, detail="": found.dropped.append((row, reason, detail)),
            report=lambda **more: found.counts.update(more),
            note=found.notes.append,
            chat=lambda wanted: open_chat(wanted, tmp_path, found.notes.append),
            executor=lambda wanted: choose_executor(wanted, found.notes.append),
        )
        made = installed.build(kinds.DATA_FILTER, name, options, directory=tmp_path)
        found.kept += made.apply(iter(rows), context)
        return found

    return passed


def pair(question: str, answer: str, **more: Any) -> dict[str, Any]:
    return {"prompt": question, "answer": answer, **more}
