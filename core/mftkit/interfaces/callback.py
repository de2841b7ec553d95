"""The interface of a callback: it is called as a run proceeds, and may end it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

from mftkit.interfaces.attribute_docs import documented
from mftkit.interfaces.component import Component, OptionsT

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.base.json_types import JsonObject
    from mftkit.interfaces.component import TaskInfo
    from mftkit.interfaces.run_info import RunInfo


@documented
class Callback(Component[OptionsT]):
    """Is called as a run proceeds; in the spec one of ``callbacks``. A subclass defines the methods that it needs.

    Callbacks are called in the process that writes the run's files (the first, of several), in the thread that trains:
    a slow one delays the run. They are called after the trackers, in the order of the spec. An MftError from
    ``on_run_start`` ends the run before its first step; any other failure is reported once, and the run continues.

    ``run.stop(reason)`` in any method ends the run as finished once the current step is done, in all processes: the
    model is validated, saved and written as a result as at the end. A request in ``on_run_start`` takes effect after
    the first step, and one in ``on_run_end`` has no effect.
    """

    packages: ClassVar[dict[str, str]] = {}
    """Modules that it needs, each with the name by which pip installs it; if one is missing, the run ends early."""

    def __init__(self, options: OptionsT | None = None, tasks: tuple[TaskInfo, ...] = ()) -> None:
        """``options`` None: the defaults, for a callback that is made in Python."""
        super().__init__(cast("OptionsT", self.Options()) if options is None else options, tasks)

    def on_run_start(self, run: RunInfo, step: int) -> None:
        """Before the first step after ``step``: 0 for a new run, else the step from which it resumes."""

    def on_step_end(self, run: RunInfo, step: int, metrics: JsonObject) -> None:
        """After each optimizer step; ``metrics`` is the "train" line if the step logs, else empty."""

    def on_validation_end(self, run: RunInfo, step: int, metrics: JsonObject) -> None:
        """After a validation; ``metrics`` is the "valid" line of metrics.jsonl."""

    def on_checkpoint(self, run: RunInfo, step: int, path: Path) -> None:
        """After a checkpoint is complete, at ``path``."""

    def on_run_end(self, run: RunInfo, reason: str, error: str | None) -> None:
        """At the end; ``reason`` as in metrics.jsonl: "finished", ... or "failed" (then with ``error``)."""

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs, in types that ``torch.load(weights_only=True)`` reads; kept in checkpoints."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave; called before ``on_run_start``, if the checkpoint has a state."""
