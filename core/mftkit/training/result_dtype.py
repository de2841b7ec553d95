"""The dtype in which a result is written: that of the base, unless the spec asks for another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from mftkit.models.config import checkpoint_dtype
from mftkit_registry import MftError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from mftkit.training.run_parts import CheckedRun

PLAIN = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
"""The dtypes in which a checkpoint can be trained further; a base in another one (8 bits) is written as trained."""
ASKED = ("float32", "float64")
"""Values of model.dtype that name the dtype of the weights. "bfloat16" names that of matrix products only."""


def result_dtype(checked: CheckedRun) -> torch.dtype:
    """Return the dtype in which the trained weights of a run are written.

    A full model gets that of its base, or the one that ``model.dtype`` names; an adapter that in which it was trained.
    """
    spec, trained = checked.model, checked.precision.weights
    if checked.tuning.saves_adapter or spec.init == "random" or spec.path is None or spec.dtype in ASKED:
        return trained
    try:
        base = checkpoint_dtype(checked.model_config, spec.path)
    except MftError:  # a name that torch does not know
        return trained
    return base if base in PLAIN else trained


def describe_result_dtype(checked: CheckedRun) -> str:
    """Return a sentence for the plan about the dtype of the result."""
    name, spec = str(result_dtype(checked)).removeprefix("torch."), checked.model
    if checked.tuning.saves_adapter:
        return f"the adapter is written in {name}"
    if spec.init == "random":
        return f"the result is written in {name}"
    if spec.dtype in ASKED:
        return f"the result is written in {name}, as model.dtype asks"
    hint = "" if name == "float32" else '; set model.dtype to "float32" for a result in float32'
    return f"the result is written in {name}, the dtype of its base{hint}"


def cast_parameters(model: PreTrainedModel, dtype: torch.dtype) -> None:
    """Cast a model's floating-point parameters in place, except those that its class keeps in float32."""
    for name, parameter in model.named_parameters():
        if _is_cast(model, name, parameter.dtype):
            parameter.data = parameter.data.to(dtype)


def written_dtypes(model: PreTrainedModel, dtype: torch.dtype) -> dict[str, torch.dtype]:
    """The dtypes of a model's tensors, by their names, after ``cast_parameters``."""
    parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    return {
        name: dtype if name in parameters and _is_cast(model, name, tensor.dtype) else tensor.dtype
        for name, tensor in model.state_dict().items()
    }


def _is_cast(model: PreTrainedModel, name: str, dtype: torch.dtype) -> bool:
    kept = [*(model._keep_in_fp32_modules or ()), *(model._keep_in_fp32_modules_strict or ())]
    parts = name.split(".")
    return dtype in PLAIN and not any(part in parts for part in kept)
