"""Load a PEFT adapter strictly: every tensor is found and used, or nothing is loaded."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from mftkit.base.quiet import without_peft_noise
from mftkit.base.reasons import reason
from mftkit.models.adapter_config import read_adapter_config
from mftkit.models.config import ADAPTER_CONFIG
from mftkit_registry import MftError

if TYPE_CHECKING:
    from pathlib import Path

    from peft import PeftModel
    from transformers import PreTrainedModel

    from mftkit.base.json_types import JsonObject

WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
_NAME = "default"
"""By which peft calls an adapter that has no name."""
_PROMPTS = ("prompt_embeddings", "prefix_task_cols", "prefix_task_rows")
"""What peft writes for prompt tuning; they are in no layer of the model."""


def load_adapter(base: PreTrainedModel, directory: Path) -> PeftModel:
    """Return the base inside peft's model, with the adapter of a directory in place.

    Raises:
        MftError: the adapter cannot be read, lacks tensors, has tensors that the model does not use, or names modules
            that the model does not have. peft would leave them at random or drop them, with no more than a warning.
    """
    config = read_adapter_config(directory)
    if not any((directory / name).is_file() for name in WEIGHTS):
        raise MftError(f"RUN: {directory} has no weights of an adapter ({' or '.join(WEIGHTS)})")
    with without_peft_noise(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Found missing adapter keys")  # reported below, as an error
        import torch
        from peft import PeftModel

        try:
            tuned = PeftModel.from_pretrained(base, str(directory))
            found = tuned.load_adapter(
                str(directory), _NAME
            )  # what peft made of it, which the call above does not say
        except (torch.OutOfMemoryError, MemoryError):
            raise
        except Exception as error:  # peft, safetensors, pickle and re each raise their own
            raise MftError(f"RUN: cannot load the adapter in {directory}: {_explain(error)}") from error
    _reject(directory, "lacks tensors that the model needs", _not_shared(tuned, found.missing_keys))
    unused = found.unexpected_keys
    if tuned.peft_config[_NAME].is_prompt_learning:
        unused = [name for name in unused if name not in _PROMPTS]
    _reject(directory, "has tensors that the model does not use", unused)
    _reject(
        directory,
        f"{ADAPTER_CONFIG}: modules_to_save names no module of the model",
        _foreign(base, config),
    )
    return tuned


def _foreign(base: PreTrainedModel, config: JsonObject) -> list[str]:
    """The names in ``modules_to_save`` that no module has."""
    named = config.get("modules_to_save") or []
    names = [name.replace(".original_module", "") for name, _ in base.named_modules()]
    return [each for each in named if not any(f".{name}".endswith(f".{each}") for name in names)]


def _not_shared(tuned: PeftModel, missing: list[str]) -> list[str]:
    """Those of the missing names whose tensor is not loaded under another name (VB-LoRA's bank is in each layer)."""
    held = dict(tuned.named_parameters(remove_duplicate=False))
    lacking = set(missing)
    loaded = {id(each) for name, each in held.items() if name not in lacking}
    return [name for name in missing if id(held.get(name)) not in loaded]


def _explain(error: Exception) -> str:
    text = str(error)
    if "Weights only load failed" in text:
        return "its PyTorch file contains more than tensors, and code in it is not run; use safetensors"
    if "can't allocate memory" in text:
        return f"there is not enough memory for it; check the ranks in {ADAPTER_CONFIG}"
    return reason(error)


def _reject(directory: Path, fault: str, names: list[str]) -> None:
    if names:
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        raise MftError(f"RUN: the adapter in {directory} {fault}: {', '.join(sorted(names)[:5])}{more}")
