"""The engine of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.interfaces import AUTO
from mftkit.interfaces.engine import Engine, ProcessGroup
from mftkit.plugins import installed, kinds
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import nn

    from mftkit.interfaces.references import ComponentRef
    from mftkit.processes import Processes
    from mftkit.reporting.reporter import Reporter


def choose_engine(ref: ComponentRef, processes: Processes, reporter: Reporter) -> Engine:
    """The engine of a run, which knows the run's processes.

    Reports a named engine that has nothing to do because there is a single process.
    """
    name = ref.name
    if name == AUTO:
        name = preferred()[0] if processes.count > 1 else ""
    engine = named_engine(name, ref.options, processes) if name else no_engine(processes.group)
    if processes.count == 1 and engine.several_only and name:
        reporter.note(
            f"engine: {name} divides a run over several processes, and this run has one: it trains without it"
        )
        return no_engine(processes.group)
    return engine


def named_engine(name: str, options: Mapping[str, object], processes: Processes) -> Engine:
    """The installed engine ``name``, which knows the run's processes."""
    engine = installed.build(kinds.ENGINE, name, options)
    engine.name, engine.processes = name, processes.group
    return engine


def no_engine(group: ProcessGroup) -> Engine:
    """What stands for the engine in a run of a single process."""
    engine = Engine(Engine.Options())
    engine.processes = group
    return engine


def single_process(model: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device) -> Engine:
    """The engine with which a single process trains ``model``."""
    engine = no_engine(ProcessGroup(1, 0, device))
    engine.wrap(model, optimizer)
    return engine


def preferred() -> list[str]:
    """The engines that "auto" may choose, in the order in which it tries them. Raises MftError if there is none."""
    names = installed.names_with(kinds.ENGINE, "preference")
    if not names:
        raise MftError(
            "engine: no installed engine may be chosen automatically, and this run has several processes; name one"
        )
    return sorted(names, key=lambda name: -installed.component_class(kinds.ENGINE, name).preference)
