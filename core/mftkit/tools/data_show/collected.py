"""Keeps what preparing the data reports, so that it stands with the task that it is about."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from mftkit.reporting.reporter import Reporter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mftkit.reporting.generation_progress import GenerationProgress


class CollectedReports(Reporter):
    """Keeps messages; another reporter shows the progress."""

    def __init__(self, shown: Reporter) -> None:
        self._shown = shown
        self._messages: list[tuple[str, Callable[[str], None]]] = []

    def note(self, message: str) -> None:
        """Keep a note."""
        self._messages.append((message, self._shown.note))

    def warn(self, message: str) -> None:
        """Keep a warning."""
        self._messages.append((message, self._shown.warn))

    @contextmanager
    def progress(self, description: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """Show the progress."""
        with self._shown.progress(description, total) as advance:
            yield advance

    @contextmanager
    def generation(self, state: GenerationProgress) -> Iterator[Callable[[], None]]:
        """Show rows being made."""
        with self._shown.generation(state) as changed:
            yield changed

    def show(self) -> None:
        """Show the messages after all, as a run does."""
        for message, show in self._messages:
            show(message)

    def of_task(self, name: str) -> tuple[str, ...]:
        """Return the messages about one task, without its name."""
        before, after = f"task {name}: ", f" (task {name})"
        return tuple(
            message.removeprefix(before).removesuffix(after)
            for message, _show in self._messages
            if message.startswith(before) or message.endswith(after)
        )

    def others(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the messages that are about none of these tasks."""
        of_tasks = tuple(f"task {name}: " for name in names)
        endings = tuple(f" (task {name})" for name in names)
        return tuple(
            message
            for message, _show in self._messages
            if not message.startswith(of_tasks) and not message.endswith(endings)
        )
