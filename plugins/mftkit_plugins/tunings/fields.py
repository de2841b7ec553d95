"""The fields of peft's LoraConfig that a spec may set beside the tuning's own options."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from mftkit import nearest, without_peft_noise

OWN = {
    "r": "rank",
    "lora_alpha": "alpha",
    "lora_dropout": "dropout",
    "target_modules": "targets",
}
"""Fields that an option of the tuning's sets, and that option."""
SET = (
    "auto_mapping",
    "base_model_name_or_path",
    "inference_mode",
    "peft_type",
    "peft_version",
    "revision",
    "task_type",
)
"""Fields that follow from the run."""
LOSS = "adds a term to the loss that only peft's own forward gives, and that would be left out in silence"
DATA = "needs passes over data before training, which a spec cannot give"
UNFIT = {
    "alora_invocation_tokens": "needs peft's own forward, and samples here share rows",
    "arrow_config": "mixes adapters that are trained already",
    "corda_config": DATA,
    "eva_config": DATA,
    "kasa_config": LOSS,
    "layer_replication": "changes the base's layers, which could not be merged any more",
    "loftq_config": "changes the base, which the adapter would not fit any more",
    "lora_ga_config": DATA,
    "megatron_config": "is for Megatron's layers",
    "megatron_core": "is for Megatron's layers",
    "monteclora_config": LOSS,
    "runtime_config": "is peft's own, and is not saved",
}
"""Fields that cannot work here, and why."""
INITIALISATIONS = ("gaussian", "orthogonal")
"""Of ``init_lora_weights`` beside true and false; the others change the base, or need data."""


def check_fields(given: dict[str, Any]) -> None:
    """Raise ValueError for a field that LoraConfig does not have, or that is not the spec's to set.

    Imports peft, which takes seconds, only where there is something to check.
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
        faults.append(f"init_lora_weights may be true, false, {named}: others change the base, or need data")
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
    return f"{key} is no field of peft's LoraConfig{meant}; those that may be set: {', '.join(allowed)}"
