"""Norms, rotary positions and SwiGLU by the kernels of the package liger-kernel, compared with the model's own code."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mftkit.models.model_checks import LENGTHS, rounding_limits, row_of_samples, states_and_gradients
from mftkit.models.native import lacks_float32
from mftkit_registry import MftError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from mftkit.base.json_types import JsonObject
    from mftkit.interfaces.model import ModelAdapter

OFF = "set training.fused_kernels to false"


def check_fused_kernels(device: torch.device, config: JsonObject) -> None:
    """Raise MftError where the kernels cannot be used; called before any weights are read.

    Args:
        device: of training.
        config: the model's.
    """
    if device.type != "cuda":
        raise MftError(
            f"training.fused_kernels: the kernels run on CUDA, and this run trains on {device.type}; {OFF}"
        )
    kind = config.get("model_type")
    families = _patches().MODEL_TYPE_TO_APPLY_LIGER_FN
    if kind not in families:
        raise MftError(
            f"training.fused_kernels: liger-kernel has no kernels for model_type {kind} (it has them for: "
            f"{', '.join(sorted(families))}); {OFF}"
        )


def use_fused_kernels(adapter: ModelAdapter, model: PreTrainedModel) -> None:
    """Replace modules' code in place, and raise MftError unless the results stay the same up to rounding.

    Hidden states and the gradient at the embedding are compared on a row of two samples. The function for rotary
    positions is replaced for all models of the family in this process.
    """
    patches = _patches()
    batch, half = row_of_samples(model, LENGTHS), lacks_float32(model)
    before = states_and_gradients(adapter, model, batch, half=half)
    # It patches instances only; the head and the loss stay core's.
    patches._apply_liger_kernel_to_instance(
        model=model,
        rope=True,
        rms_norm=True,
        swiglu=True,
        geglu=True,
        cross_entropy=False,
        fused_linear_cross_entropy=False,
    )
    after = states_and_gradients(adapter, model, batch, half=half)
    limits = rounding_limits(before[0].dtype, half=half)
    for (what, most), own, found in zip(limits.items(), before, after, strict=True):
        difference = float((found.double() - own.double()).norm() / own.double().norm())
        if not difference <= most:  # NaN differs too
            raise MftError(
                f"training.fused_kernels: with liger-kernel's kernels the {what} of {type(model).__name__} differ by "
                f"{difference:.2g} (relative; rounding explains {most:g}), so the kernels do not compute what this "
                f"model does; {OFF}"
            )


def _patches() -> Any:
    try:
        return import_module("liger_kernel.transformers.monkey_patch")
    except ImportError as error:
        raise MftError(
            f'training.fused_kernels: needs the package liger-kernel ({error}); pip install "mftkit[liger]", or {OFF}'
        ) from error
