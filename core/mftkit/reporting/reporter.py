"""What the program tells while it works; the base class tells nothing, the command line draws it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mftkit.reporting.generation_progress import GenerationProgress
    from mftkit.reporting.outcome import Outcome
    from mftkit.reporting.plan import Plan


class Reporter:
    """Receives messages and progress; every method is optional for a subclass.

    In a ``with`` statement it is closed whatever happens.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Take down what is shown; once or more. Messages may still follow."""

    def note(self, message: str) -> None:
        """Something worth knowing."""

    def warn(self, message: str) -> None:
        """Something the user may not have meant: nothing is dropped or changed without one."""

    @contextmanager
    def progress(self, description: str, total: int | None) -> Iterator[Callable[[int], None]]:  # noqa: ARG002
        """A stretch of work; call what is yielded with the number of items done since the last call."""
        yield lambda _done: None

    @contextmanager
    def generation(self, state: GenerationProgress) -> Iterator[Callable[[], None]]:  # noqa: ARG002
        """Rows being made; call what is yielded when ``state`` has changed."""
        yield lambda: None

    def planned(self, plan: Plan) -> None:
        """What the run is about to do."""

    def trained(self, line: dict[str, Any]) -> None:
        """A train line of metrics.jsonl was written."""

    def validated(self, line: dict[str, Any]) -> None:
        """A valid line of metrics.jsonl was written."""

    def ended(self, directory: Path, outcome: Outcome) -> None:
        """The run is over; its metrics and its model lie in ``directory``."""
