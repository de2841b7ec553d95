"""The fields of peft's LoraConfig that a spec may set beside the tuning's own options."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from mftkit import nearest, without_peft_noise

if TYPE_CHECKING:
    from mftkit import JsonObject

OWN = {
    "r": "rank",
    "lora_alpha": "alpha",
    "lora_dropout": "dropout",
    "target_modules": "targets",
}
"""Fields that are set by an option of the tuning, and that option."""
SET = (
    "auto_mapping",
    "base_model_name_or_path",
    "inference_mode",
    "peft_type",
    "peft_version",
    "revision",
    "task_type",
)
"""Fields that are set by the run."""
LOSS = "adds a term to the loss in peft's own forward pass only, so it would silently be missing"
DATA = "needs passes over data before training, which a spec cannot provide"
UNFIT = {
    "alora_invocation_tokens": "needs peft's own forward pass, and one sample per row",
    "arrow_config": "mixes adapters that are already trained",
    "corda_config": DATA,
    "eva_config": DATA,
    "kasa_config": LOSS,
    "layer_replication": "changes the base's layers, so the result could not be merged",
    "loftq_config": "changes the base, so the adapter would no longer fit it",
    "lora_ga_config": DATA,
    "megatron_config": "is for Megatron's layers",
    "megatron_core": "is for Megatron's layers",
    "monteclora_config": LOSS,
    "runtime_config": "is internal to peft and not saved",
}
"""Fields that cannot work here, and the reason."""
INITIALISATIONS = ("gaussian", "orthogonal")
"""Values of ``init_lora_weights`` besides true and false; all others change the base or need data."""


def check_fields(given: JsonObject) -> None:
    """Raise ValueError for a field that LoraConfig does not have, or that a spec may not set.

    Imports peft, which takes seconds, only if there is something to check.
    """
    if not given:
        return
    with without_peft_noise():
        from peft import LoraConfig

    known = [field.name for field in fields(LoraConfig)]
    allowed = sorted({*known} - {*OWN, *SET, *UNFIT})
    faults = [fault for key in given if (fault := _fault(key, allowed))]
    start = given.get("init_lora_weights", True)
    if not isinstance(start, bool) and start not in INITIALISATIONS:
        named = ", ".join(f'"{name}"' for name in INITIALISATIONS)
        faults.append(
            f"init_lora_weights must be true, false, {named}: other values change the base or need data"
        )
    if faults:
        raise ValueError("; ".join(faults))


def _fault(key: str, allowed: list[str]) -> str:
    if key in allowed:
        return ""
    if key in OWN:
        return f"{key} is set by tuning.{OWN[key]}"
    if key in SET:
        return f"{key} is set by the program"
    if key in UNFIT:
        return f"{key} {UNFIT[key]}"
    close = nearest(key, allowed)
    meant = f" (did you mean {close[0]}?)" if close else ""
    return f"{key} is not a field of peft's LoraConfig{meant}; fields that may be set: {', '.join(allowed)}"
