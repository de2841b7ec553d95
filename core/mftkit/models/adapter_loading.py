"""Load a PEFT adapter strictly: every tensor is found and used, or nothing is loaded."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from mftkit.base.json_files import read_json_object
from mftkit.base.quiet import without_peft_noise
from mftkit.base.reasons import reason
from mftkit.models.config import ADAPTER_CONFIG
from mftkit_registry import MftError

if TYPE_CHECKING:
    from pathlib import Path

    from peft import PeftModel
    from transformers import PreTrainedModel

WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
_NAME = "default"
"""By which peft calls an adapter that has no name."""


def load_adapter(base: PreTrainedModel, directory: Path) -> PeftModel:
    """Return the base inside peft's model, with the adapter of a directory in place.

    Raises:
        MftError: the adapter cannot be read, lacks tensors, has tensors that the model does not use, or names modules
            that the model does not have. peft would leave them at random or drop them, with no more than a warning.
    """
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
        except (
            Exception
        ) as error:  # peft, safetensors, pickle and re each raise their own on a damaged adapter
            raise MftError(f"RUN: cannot load the adapter in {directory}: {_explain(error)}") from error
    _reject(directory, "lacks tensors that the model needs", found.missing_keys)
    if not tuned.peft_config[_NAME].is_prompt_learning:  # its tensors are in no layer of the model
        _reject(directory, "has tensors that the model does not use", found.unexpected_keys)
    _reject(
        directory,
        f"{ADAPTER_CONFIG}: modules_to_save names no module of the model",
        _foreign(base, directory),
    )
    return tuned


def _foreign(base: PreTrainedModel, directory: Path) -> list[str]:
    """The names in ``modules_to_save`` that no module has."""
    named = read_json_object(directory / ADAPTER_CONFIG).get("modules_to_save") or []
    names = [name.replace(".original_module", "") for name, _ in base.named_modules()]
    return [each for each in named if not any(f".{name}".endswith(f".{each}") for name in names)]


def _explain(error: Exception) -> str:
    if "Weights only load failed" in str(error):
        return "its PyTorch file contains more than tensors, and code in it is not run; use safetensors"
    return reason(error)


def _reject(directory: Path, fault: str, names: list[str]) -> None:
    if names:
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        raise MftError(f"RUN: the adapter in {directory} {fault}: {', '.join(sorted(names)[:5])}{more}")
