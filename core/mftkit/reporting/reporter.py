"""Receives everything that the program reports; the base class shows nothing, the displays derive from it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from mftkit.reporting.listener import Listener
from mftkit.reporting.metric_text import evaluation_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mftkit.reporting.generation_progress import GenerationProgress
    from mftkit.reporting.lines import EvaluationLine, RollbackLine, TrainLine
    from mftkit.reporting.outcome import Outcome
    from mftkit.reporting.plan import Plan


class Reporter(Listener):
    """Receives messages and progress, and listens to runs; a subclass overrides the methods that it needs.

    In a ``with`` statement it is closed whatever happens.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Take down what is shown; may be called again, and messages may still follow."""

    def note(self, message: str) -> None:
        """Show something worth knowing."""

    def warn(self, message: str) -> None:
        """Show something that the user may not have meant: nothing is dropped or changed without a warning."""

    @contextmanager
    def progress(self, description: str, total: int | None) -> Iterator[Callable[[int], None]]:  # noqa: ARG002
        """Show the progress of some work; call what is yielded with the number of items done since the last call."""
        yield lambda _done: None

    @contextmanager
    def generation(self, state: GenerationProgress) -> Iterator[Callable[[], None]]:  # noqa: ARG002
        """Show rows being made; call what is yielded when ``state`` has changed."""
        yield lambda: None

    def planned(self, plan: Plan) -> None:
        """Show what the run is about to do."""

    def stop_requested(self, signal: str) -> None:
        """Show what the signal does."""
        self.note(
            f"{signal} received: finishing this step, then saving. Press Ctrl-C again to quit without saving."
        )

    def evaluated(self, line: EvaluationLine) -> None:
        """Show the metrics of an evaluation, as a note."""
        self.note(evaluation_text(line))

    def task_stopped(self, task: str, step: int) -> None:
        """Show which task stopped."""
        self.note(f"early stopping for task {task}: no improvement; its weight is 0 after step {step}")

    def rolled_back(self, line: RollbackLine) -> None:
        """Show which task was dropped, and where the run continues."""
        best, lost = line.to, ""
        if line.lost_best_step is not None:
            best, lost = line.lost_best_step, " (the checkpoint of its best step is lost)"
        self.note(
            f"task {line.task} overfits: it is best at step {best}, and has not improved up to step {line.step}; it is "
            f"dropped, and the run goes back to step {line.to}{lost}"
        )

    def stopping(self, step: int, stopped_by: str, line: TrainLine | None) -> None:  # noqa: ARG002
        """Show which callback ends the run, and why."""
        self.note(f"the run ends after step {step}, stopped by {stopped_by}")

    def show_result(self, directory: Path, outcome: Outcome) -> None:
        """Show what the run achieved; its metrics and its model lie in ``directory``."""
