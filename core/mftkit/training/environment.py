"""environment.json: what a run ran on and with."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import torch

from mftkit.chat_client.cache_key import chat_refs
from mftkit.plugins import installed, kinds
from mftkit.spec.references import named_components

if TYPE_CHECKING:
    from mftkit.spec import Spec
    from mftkit.training.setup import Assembly

PACKAGES = (
    "mftkit",
    "torch",
    "transformers",
    "accelerate",
    "peft",
    "bitsandbytes",
    "datasets",
    "tokenizers",
    "numpy",
    "pluggy",
    "pydantic",
)


def device_name(device: torch.device) -> str:
    """What the device calls itself."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return platform.processor() or platform.machine()


def used_components(spec: Spec, adapter: str) -> list[dict[str, str]]:
    """Each component that the spec names, with where it comes from; ``adapter`` is the one chosen for "auto"."""
    registry = installed.registry()
    found = [
        registry.get(kind, adapter if kind is kinds.MODEL_ADAPTER else ref.name)
        for kind, ref in named_components(spec)
    ]
    found += [registry.get(kinds.CHAT_MODEL, name) for name in _chat_models(spec)]
    return [
        {
            "kind": component.kind,
            "name": component.name,
            "distribution": component.distribution,
            "version": component.version,
        }
        for component in dict.fromkeys(found)
    ]


def _chat_models(spec: Spec) -> list[str]:
    """The chat models that the tasks' generators ask."""
    generators = [
        installed.build(kinds.DATA_GENERATOR, task.generator.name, task.generator.options)
        for task in spec.tasks
        if task.generator is not None
    ]
    return [ref.name for generator in generators for ref in chat_refs(generator.options)]


def describe_environment(assembly: Assembly) -> dict[str, Any]:
    """Versions, device, processes, engine, components."""
    processes = assembly.processes
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version(name) for name in PACKAGES},
        "device": {
            "type": assembly.device.type,
            "name": device_name(assembly.device),
            "threads": torch.get_num_threads(),
        },
        "processes": processes.count,
        "engine": "single process"
        if processes.count == 1
        else processes.accelerator.distributed_type.value.lower(),
        "dtype": assembly.plan.dtype,
        "components": used_components(assembly.spec, assembly.adapter_name),
        "data": assembly.corpus.fingerprint,
    }
