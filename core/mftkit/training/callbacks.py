"""Makes the callbacks that a spec names, and calls them as a run proceeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.base.optional_packages import missing_packages, missing_packages_text
from mftkit.interfaces.callback import Callback
from mftkit.plugins import installed, kinds
from mftkit.reporting.listener import Listener
from mftkit.runs.checkpoint import check_state
from mftkit_registry import MftError, traced

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from mftkit.base.json_types import JsonObject
    from mftkit.interfaces.component import TaskInfo
    from mftkit.interfaces.run_info import RunInfo
    from mftkit.reporting.lines import TrainLine, ValidLine
    from mftkit.reporting.outcome import Outcome
    from mftkit.spec import Spec
    from mftkit.training.stop_requests import StopRequests


def check_callbacks(spec: Spec, ready: Iterable[object]) -> None:
    """Raise MftError if a callback lacks a package, or if one of the ``ready`` ones is not a callback."""
    for given in ready:
        if not isinstance(given, Callback):
            raise MftError(
                f"callbacks: {type(given).__name__} is not a mftkit.Callback; derive its class from mftkit.Callback"
            )
    classes = {ref.name: installed.component_class(kinds.CALLBACK, ref.name) for ref in spec.callbacks}
    packages = {module: package for each in classes.values() for module, package in each.packages.items()}
    missing = missing_packages(packages)
    if missing:
        users = [name for name, each in classes.items() if each.packages.keys() & missing]
        raise MftError(
            f"callbacks: {', '.join(users)} cannot be used: {missing_packages_text(missing)}, or remove it from the "
            "spec."
        )


def make_callbacks(
    spec: Spec, ready: Sequence[Callback], tasks: tuple[TaskInfo, ...]
) -> list[tuple[str, Callback]]:
    """The callbacks that the spec names and those that are ``ready``, each with its own name.

    Raises:
        MftError: a checkpoint could not restore the state of one.
    """
    made: list[tuple[str, Callback]] = [
        (ref.name, installed.build(kinds.CALLBACK, ref.name, ref.options, tasks)) for ref in spec.callbacks
    ]
    for callback in ready:
        if not getattr(callback, "tasks", ()):
            callback.tasks = tasks
        made.append((type(callback).__qualname__, callback))
    named: dict[str, Callback] = {}
    for name, callback in made:
        check_state("callbacks", name, callback)
        number = 1 + sum(other.partition("#")[0] == name for other in named)
        named[name if number == 1 else f"{name}#{number}"] = callback
    return list(named.items())


class CallbackListener(Listener):
    """Calls one callback."""

    def __init__(self, name: str, callback: Callback, run: RunInfo, stops: StopRequests) -> None:
        """``name`` tells it from the others."""
        self.key = name
        self.name = f'callback "{name}"{_origin(name, callback)}'
        self._callback = callback
        self._run = stops.info_for(f"callback {name}", run)

    def started(self, step: int) -> None:
        """Call ``on_run_start``."""
        self._call("on_run_start", step=step)

    def step_ended(self, step: int, line: TrainLine | None) -> None:
        """Call ``on_step_end``; its metrics are empty where the step does not log."""
        self._call("on_step_end", step=step, metrics=line.to_json() if line else {})

    def validated(self, line: ValidLine) -> None:
        """Call ``on_validation_end``."""
        self._call("on_validation_end", step=line.step, metrics=line.to_json())

    def saved(self, step: int, path: Path) -> None:
        """Call ``on_checkpoint``."""
        self._call("on_checkpoint", step=step, path=path)

    def ended(self, outcome: Outcome) -> None:
        """Call ``on_run_end``."""
        self._call("on_run_end", reason=outcome.reason, error=outcome.error)

    def state_dict(self) -> JsonObject:
        """The callback's own state."""
        return self._callback.state_dict()

    def load_state_dict(self, state: JsonObject) -> None:
        """Restore it."""
        self._callback.load_state_dict(state)

    def _call(self, method: str, **facts: object) -> None:
        arguments = {"run": self._run, **facts}
        # By position, as the interface check compares them: a callback may name its arguments otherwise.
        call = getattr(self._callback, method)
        traced(
            installed.registry().trace,
            method,
            f"callback {self.key}",
            arguments,
            lambda: call(*arguments.values()),
        )


def _origin(name: str, callback: Callback) -> str:
    """Where a callback comes from, for messages; nothing for one that was made in Python."""
    try:
        registration = installed.registry().get(kinds.CALLBACK, name.partition("#")[0])
    except MftError:
        return ""
    same = registration.resolve() is type(callback)
    return f" of {registration.origin}" if same else ""
