"""The short form of the plan for ``mft run``, and the refusal of a run that cannot fit its device."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from mftkit.base.formatting import size
from mftkit.base.machine import memory
from mftkit.interfaces import AUTO
from mftkit.tools.plan.memory import MemoryUse, fixed_use
from mftkit.tools.plan.outline import Outline
from mftkit.tools.plan.sizes import measure
from mftkit.training.engine_choice import named_engine, preferred
from mftkit.training.model_loading import outline_model
from mftkit.training.optimizer import check_engine
from mftkit_registry import MftError

if TYPE_CHECKING:
    from torch import nn

    from mftkit.base.json_types import JsonObject
    from mftkit.reporting.plan import Plan
    from mftkit.reporting.reporter import Reporter
    from mftkit.training.run_parts import CheckedRun

SMALL = 50_000_000
"""Parameters of a model that fits every device: it is not outlined, so that its run starts as fast as before."""


def with_memory(plan: Plan, checked: CheckedRun, model: nn.Module | None = None) -> Plan:
    """The plan of a run with a sentence on memory.

    Args:
        plan: of the run.
        checked: the run.
        model: what the tuning made of the loaded model; None: it is outlined.
    """
    total = device_memory(checked.processes.device)
    if total is None:
        return plan
    needed = _fixed(checked, model or outline_model(checked)[0]).fixed
    device = "the machine" if checked.processes.device.type == "cpu" else "the device"
    several = f", in each of {checked.processes.count} processes" if checked.processes.count > 1 else ""
    return replace(
        plan,
        memory=f"{size(needed)} for weights, gradients and optimizer{several}, of {size(total)} of {device}; mft plan "
        "adds activations",
    )


def with_fitting_engine(checked: CheckedRun, reporter: Reporter) -> CheckedRun:
    """The run with the first engine that "auto" allows with which weights, gradients and optimizer fit the device.

    As it is with a named engine, with a single process, and if none fits. All processes choose the same.
    """
    processes = checked.processes
    total = device_memory(processes.device)
    if checked.spec.engine.name != AUTO or processes.count == 1 or total is None:
        return checked
    if is_small(checked.model_config):
        return checked
    sharing = processes.count if processes.device.type == "cpu" else 1
    model = outline_model(checked)[0]
    for name in preferred():
        engine = named_engine(name, {}, processes)
        trial = replace(checked, engine=engine)
        if processes.from_main(_fixed(trial, model).fixed * sharing <= total):
            if name == checked.engine.name:
                return checked
            engine.check(checked.tuning, per_task_gradients=checked.combiner is not None)
            check_engine(
                checked.spec.training.optimizer.name,
                checked.optimizer,
                engine,
                processes.count,
                frozen_base=checked.tuning.freezes_base,
            )
            reporter.note(
                f"engine: {name}, because with {checked.engine.name} weights, gradients and optimizer do not fit the "
                f"{size(total)} of the device"
            )
            return trial
    return checked


def check_memory(checked: CheckedRun) -> None:
    """Raise MftError if weights, gradients and optimizer alone exceed the memory of the run's device.

    On a CPU that is the memory of the machine, or what its container allows, which all processes share.
    """
    if not checked.spec.training.check_memory or is_small(checked.model_config):
        return
    device = checked.processes.device
    total = device_memory(device)
    if total is None:
        return
    use = _fixed(checked, outline_model(checked)[0])
    sharing = checked.processes.count if device.type == "cpu" else 1
    if use.fixed * sharing > total:
        parts = {
            "weights": use.weights + use.adapters,
            "gradients": use.gradients,
            "optimizer": use.optimizer,
        }
        listed = ", ".join(f"{name} {size(part)}" for name, part in parts.items())
        each = f" in each of {sharing} processes" if sharing > 1 else ""
        raise MftError(
            f"memory: this run needs {size(use.fixed * sharing)} before any activations ({listed}{each}), and the "
            f"device ({device}) has {size(total)}. mft plan shows on which devices it fits; tune fewer parameters "
            "(tuning), or set training.check_memory to false to try it anyway."
        )


def device_memory(device: torch.device) -> int | None:
    """All memory of a device in bytes, in use or not; None if it is unknown."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return memory().total_bytes if device.type == "cpu" else None


def is_small(config: JsonObject) -> bool:
    """Whether a model has certainly fewer parameters than ``SMALL``, by the usual keys of its config.

    A layer is counted as four square matrices of attention and three of a feed-forward network, for each expert.
    """
    keys = ("hidden_size", "intermediate_size", "num_hidden_layers")
    width, inner, layers = (config.get(key) for key in keys)
    if not (isinstance(width, int) and isinstance(inner, int) and isinstance(layers, int)):
        return False
    experts = [value for key, value in config.items() if "experts" in key and isinstance(value, int)]
    vocabulary = config.get("vocab_size")
    rows = vocabulary if isinstance(vocabulary, int) else 2**17
    return layers * width * (4 * width + 3 * inner * max(experts, default=1)) + 2 * rows * width < SMALL


def _fixed(checked: CheckedRun, model: nn.Module) -> MemoryUse:
    quantization = checked.tuning.load_options(checked.precision.arithmetic).get("quantization_config")
    outlined = Outline(
        checked.spec, checked.adapter, checked.tuning, checked.precision, checked.mode, model, quantization
    )
    copies = 1 if checked.combiner is None else len(checked.spec.tasks) + 1
    sharding = checked.engine.sharding(checked.processes.count, frozen_base=checked.tuning.freezes_base)
    return fixed_use(measure(outlined), sharding, copies)
