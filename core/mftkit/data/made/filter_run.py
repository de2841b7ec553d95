"""One filter at work: what comes in, what stays, what was dropped for which reason, with a few samples."""

from __future__ import annotations

import json
import time
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from mftkit.data.made.storage import locked
from mftkit.interfaces.data_filter import FilterContext
from mftkit.plugins.executors import choose_executor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mftkit.interfaces.chat import Chat
    from mftkit.interfaces.data_filter import DataFilter
    from mftkit.interfaces.references import ChatRef
    from mftkit.reporting.generation_progress import GenerationProgress
    from mftkit.reporting.reporter import Reporter

SAMPLES = 3
"""Rows of each reason that are kept for the report."""
_SHOWN = 100
"""Characters of a sample on the screen."""
UNTOLD = "no reason given"


class FilterRun:
    """Counts around a filter."""

    def __init__(
        self,
        name: str,
        made: DataFilter,
        seed: int,
        task: str,
        places: tuple[Path, Path],
        state: GenerationProgress,
        reporter: Reporter,
    ) -> None:
        """``places``: of the filter for these rows and options, and of the replies of chat models; ``state``: of
        the whole pass, as it is shown.
        """
        self.name = name
        self.seen = 0
        self.kept = 0
        self.seconds = 0.0
        self.dropped: Counter[str] = Counter()
        self.samples: dict[str, list[dict[str, Any]]] = {}
        self.counts: Counter[str] = Counter()
        self.notes: list[str] = []
        self._filter = made
        self._state = state
        self._replies = places[1]
        self._stack: ExitStack | None = None
        self._reporter = reporter
        self._context = FilterContext(
            seed=seed,
            task=task,
            directory=places[0],
            drop=self.drop,
            report=lambda **more: self.counts.update(more),
            note=self.note,
            chat=self.chat,
            executor=lambda wanted: choose_executor(wanted, self.note),
        )

    def apply(self, rows: Iterator[dict[str, Any]], changed: Callable[[], None]) -> Iterator[dict[str, Any]]:
        """The rows that stay; ``changed`` is called after each row."""
        started = time.monotonic()
        for row in self._filter.apply(self._counted(rows, changed), self._context):
            self.kept += 1
            self._state.counts[f"{self.name} kept"] += 1
            changed()
            yield row
        untold = self.seen - self.kept - sum(self.dropped.values())
        if untold > 0:  # a filter that does not say so must not hide it
            self.dropped[UNTOLD] += untold
        self.seconds = time.monotonic() - started

    def drop(self, row: dict[str, Any], reason: str, detail: str = "") -> None:
        """A row that is not given on."""
        self.dropped[reason] += 1
        self._state.counts[f"{self.name} dropped"] += 1
        kept = self.samples.setdefault(reason, [])
        if len(kept) < SAMPLES:
            kept.append({"row": row, **({"detail": detail} if detail else {})})

    def note(self, message: str) -> None:
        """Tell, and keep for the manifest; the same thing once."""
        if message not in self.notes:
            self.notes.append(message)
            self._reporter.note(f"filter {self.name}: {message}")

    def chat(self, wanted: ChatRef) -> Chat:
        """The chat model that an option names; for one process at a time, until the stage is closed."""
        from mftkit.chat_client import open_chat

        if self._stack is None:
            self._stack = ExitStack()
            self._stack.enter_context(locked(self._replies, self._reporter))
        chat = open_chat(wanted, self._replies, self.note)
        self._state.chats.append(chat)
        return self._stack.enter_context(chat)

    def close(self) -> None:
        """What was opened for the filter."""
        if self._stack is not None:
            self._stack.close()

    def found(self) -> dict[str, Any]:
        """As the manifest has it. "seconds" are of this stage and of those that it draws from."""
        return {
            "rows_in": self.seen,
            "rows_kept": self.kept,
            "dropped": dict(self.dropped),
            "samples": self.samples,
            "counts": dict(self.counts),
            "notes": self.notes,
            "seconds": round(self.seconds, 3),
        }

    def lines(self) -> Iterator[str]:
        """What was dropped and why, and a sample of each reason."""
        counts = ", ".join(
            f"{what.replace('_', ' ')} {number}" for what, number in sorted(self.counts.items())
        )
        told = f" ({counts})" if counts else ""
        yield f"filter {self.name}: {self.seen} rows in, {self.kept} kept, {self.seen - self.kept} dropped{told}"
        for reason, number in self.dropped.most_common():
            yield f"  {number} dropped: {reason}{self._sample(reason)}"

    def _sample(self, reason: str) -> str:
        if not self.samples.get(reason):
            return ""
        sample = self.samples[reason][0]
        detail = f" ({sample['detail']})" if "detail" in sample else ""
        return f"{detail}, as: {_shortened(json.dumps(sample['row'], ensure_ascii=False, default=str))}"

    def _counted(
        self, rows: Iterator[dict[str, Any]], changed: Callable[[], None]
    ) -> Iterator[dict[str, Any]]:
        for row in rows:
            self.seen += 1
            changed()
            yield row


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ..."
