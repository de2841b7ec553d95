"""environment.json: the machine, the versions and the components of a run."""

from __future__ import annotations

import platform
import re
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from mftkit.models.converted import checkpoint_file
from mftkit.models.native import attention_of
from mftkit.training.used_components import used_components
from mftkit.training.used_plugins import used_plugins

if TYPE_CHECKING:
    from mftkit.base.json_types import JsonObject
    from mftkit.spec.model import ModelSpec
    from mftkit.training.run_parts import Run

_COMMIT = re.compile(r"/snapshots/([0-9a-f]{40})/")
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
    """The device's own name."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return platform.processor() or platform.machine()


def describe_revision(model: ModelSpec) -> JsonObject | None:
    """What ``model.revision`` asks for, and the commit that it means now; None for a model that is not on the hub."""
    if model.path is None or Path(model.path).is_absolute() or Path(model.path).is_dir():
        return None
    file = checkpoint_file(model.path, "config.json", model.revision)
    commit = None if file is None else _COMMIT.search(file.as_posix())
    return {"path": model.path, "revision": model.revision, "commit": commit[1] if commit else None}


def describe_environment(run: Run) -> dict[str, Any]:
    """The content of environment.json."""
    checked = run.checked
    processes = checked.processes
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version(name) for name in PACKAGES},
        "device": {
            "type": processes.device.type,
            "name": device_name(processes.device),
            "threads": torch.get_num_threads(),
        },
        "processes": processes.count,
        "engine": checked.engine.name,
        "sharding": checked.engine.describe(),
        "dtype": checked.precision.name,
        "components": used_components(checked.spec, checked.adapter_name),
        "plugins": used_plugins(checked.spec, checked.adapter_name),
        "tokenization": checked.mode_choice.dump(),
        "attention": attention_of(checked.tuning.base_model(run.model)),
        "data": checked.corpus.fingerprint,
        "content": checked.corpus.content,
        "model": checked.base_content,
        "revision": describe_revision(checked.model),
        "start": None if checked.start is None else checked.start.dump(),
    }
