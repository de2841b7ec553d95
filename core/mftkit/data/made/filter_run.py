"""One filter applied to rows: what came in, what was kept, and what was dropped for which reason, with samples."""

from __future__ import annotations

import json
import time
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING

from mftkit.base.formatting import shortened
from mftkit.chat_client import open_chat
from mftkit.data.made.storage import locked
from mftkit.interfaces.data_filter import FilterContext
from mftkit.plugins.executors import choose_executor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mftkit.base.json_types import JsonObject
    from mftkit.interfaces.chat import Chat
    from mftkit.interfaces.data_filter import DataFilter
    from mftkit.interfaces.references import ChatRef
    from mftkit.reporting.generation_progress import GenerationProgress
    from mftkit.reporting.reporter import Reporter

SAMPLES = 3
"""Rows per reason that are kept for the report."""
_SHOWN = 100
"""Characters of a sample that are shown."""
NO_REASON = "no reason given"


class FilterRun:
    """Applies a filter and counts what it does."""

    def __init__(
        self,
        name: str,
        data_filter: DataFilter,
        seed: int,
        task: str,
        directories: tuple[Path, Path],
        progress: GenerationProgress,
        reporter: Reporter,
    ) -> None:
        """``directories``: the filter's own for these rows and options, and that of chat models' replies; ``progress``:
        of all filters together, as it is shown.
        """
        self.name = name
        self.seen = 0
        self.kept = 0
        self.seconds = 0.0
        self.dropped: Counter[str] = Counter()
        self.samples: dict[str, list[JsonObject]] = {}
        self.counts: Counter[str] = Counter()
        self.notes: list[str] = []
        self._filter = data_filter
        self._progress = progress
        self._replies = directories[1]
        self._stack: ExitStack | None = None
        self._reporter = reporter
        self._context = FilterContext(
            seed=seed,
            task=task,
            directory=directories[0],
            drop=self.drop,
            report=lambda **more: self.counts.update(more),
            note=self.note,
            chat=self.chat,
            executor=lambda ref: choose_executor(ref, self.note),
            locate=self.locate,
        )

    def apply(self, rows: Iterator[JsonObject], changed: Callable[[], None]) -> Iterator[JsonObject]:
        """Yield the rows that are kept; ``changed`` is called after each row."""
        started = time.monotonic()
        for row in self._filter.apply(self._counted(rows, changed), self._context):
            self.kept += 1
            self._progress.counts[f"{self.name} kept"] += 1
            changed()
            yield row
        unexplained = self.seen - self.kept - sum(self.dropped.values())
        if unexplained > 0:  # a filter that drops rows silently must not hide it
            self.dropped[NO_REASON] += unexplained
        self.seconds = time.monotonic() - started

    def drop(self, row: JsonObject, reason: str, detail: str = "") -> None:
        """Count a row that is not kept."""
        self.dropped[reason] += 1
        self._progress.counts[f"{self.name} dropped"] += 1
        kept = self.samples.setdefault(reason, [])
        if len(kept) < SAMPLES:
            kept.append({"row": row, **({"detail": detail} if detail else {})})

    def locate(self, row: JsonObject) -> str | None:
        """Return PATH:LINE of a row, or None if that is not known."""
        del row
        return None

    def note(self, message: str) -> None:
        """Show a message and keep it for the manifest; repetitions are ignored."""
        if message not in self.notes:
            self.notes.append(message)
            self._reporter.note(f"filter {self.name}: {message}")

    def chat(self, model: ChatRef) -> Chat:
        """Open the chat model that an option names; one process at a time holds it, until ``close``."""
        if self._stack is None:
            self._stack = ExitStack()
            self._stack.enter_context(locked(self._replies, self._reporter))
        chat = open_chat(model, self._replies, self.note)
        self._progress.chats.append(chat)
        return self._stack.enter_context(chat)

    def close(self) -> None:
        """Close the chats that were opened for the filter."""
        if self._stack is not None:
            self._stack.close()

    def to_json(self) -> JsonObject:
        """Return the counts for the manifest. "seconds" include the filters that this one draws from."""
        return {
            "rows_in": self.seen,
            "rows_kept": self.kept,
            "dropped": dict(self.dropped),
            "samples": self.samples,
            "counts": dict(self.counts),
            "notes": self.notes,
            "seconds": round(self.seconds, 3),
        }

    def summary_lines(self) -> Iterator[str]:
        """Yield what was dropped and why, with a sample for each reason."""
        counts = ", ".join(
            f"{what.replace('_', ' ')} {number}" for what, number in sorted(self.counts.items())
        )
        details = f" ({counts})" if counts else ""
        dropped = self.seen - self.kept
        yield f"filter {self.name}: {self.seen} rows in, {self.kept} kept, {dropped} dropped{details}"
        for reason, number in self.dropped.most_common():
            yield f"  {number} dropped: {reason}{self._sample(reason)}"

    def _sample(self, reason: str) -> str:
        if not self.samples.get(reason):
            return ""
        sample = self.samples[reason][0]
        detail = f" ({sample['detail']})" if "detail" in sample else ""
        return f"{detail}, for example: {shortened(json.dumps(sample['row'], ensure_ascii=False, default=str), _SHOWN)}"

    def _counted(self, rows: Iterator[JsonObject], changed: Callable[[], None]) -> Iterator[JsonObject]:
        for row in rows:
            self.seen += 1
            changed()
            yield row
