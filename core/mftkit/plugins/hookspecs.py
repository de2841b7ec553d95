"""The hooks that a plugin may implement: giving components, and listening to a run.

A plugin marks its functions with ``@mftkit.hookimpl`` and may leave out arguments that it does not need::

    @mftkit.hookimpl
    def on_validation_end(run: mftkit.RunInfo, step: int, metrics: dict[str, Any]) -> None: ...

Events are told where the run writes its files, in the thread that trains: what takes long holds up the run. A
callback that raises is told as a warning, once, and the run goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from mftkit_registry import hookspec

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.interfaces.run_info import RunInfo


class Register(Protocol):
    """What a ``register_...`` hook is called with."""

    def __call__(self, name: str, target: str | type, *, summary: str, default: bool = False) -> None:
        """Give a component: its name, its class or "package.module:Class", and a line on what it does."""


@hookspec
def register_model_adapters(register: Register) -> None:
    """Give model adapters, subclasses of ``mftkit.ModelAdapter``."""


@hookspec
def register_tokenization_modes(register: Register) -> None:
    """Give tokenization modes, subclasses of ``mftkit.TokenizationMode``."""


@hookspec
def register_losses(register: Register) -> None:
    """Give losses, subclasses of ``mftkit.Loss``."""


@hookspec
def register_balancers(register: Register) -> None:
    """Give balancers, subclasses of ``mftkit.Balancer``."""


@hookspec
def register_data_generators(register: Register) -> None:
    """Give data generators, subclasses of ``mftkit.DataGenerator``."""


@hookspec
def register_tunings(register: Register) -> None:
    """Give tunings, subclasses of ``mftkit.Tuning``."""


@hookspec
def register_trackers(register: Register) -> None:
    """Give trackers, subclasses of ``mftkit.Tracker``."""


@hookspec
def register_data_filters(register: Register) -> None:
    """Give data filters, subclasses of ``mftkit.DataFilter``."""


@hookspec
def register_executors(register: Register) -> None:
    """Give executors, subclasses of ``mftkit.Executor``."""


@hookspec
def register_chat_models(register: Register) -> None:
    """Give chat models, subclasses of ``mftkit.ChatModel``."""


@hookspec
def register_gradient_combiners(register: Register) -> None:
    """Give gradient combiners, subclasses of ``mftkit.GradientCombiner``."""


@hookspec
def on_run_start(run: RunInfo) -> None:
    """Before the first step, also of a run that goes on from a checkpoint."""


@hookspec
def on_step_end(run: RunInfo, step: int, metrics: dict[str, Any]) -> None:
    """After each optimizer step; ``metrics`` is the "train" line where the step logs, else empty."""


@hookspec
def on_validation_end(run: RunInfo, step: int, metrics: dict[str, Any]) -> None:
    """After a validation; ``metrics`` is the "valid" line of metrics.jsonl."""


@hookspec
def on_checkpoint(run: RunInfo, step: int, path: Path) -> None:
    """After a checkpoint is complete, at ``path``."""


@hookspec
def on_run_end(run: RunInfo, reason: str, error: str | None) -> None:
    """At the end; ``reason`` as in metrics.jsonl: "finished", ... or "failed" (then with ``error``)."""
