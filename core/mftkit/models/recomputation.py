"""Activations that are recomputed in the backward pass, all of them or those that are cheap to recompute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from mftkit.models.selective_modes import selective_modes

if TYPE_CHECKING:
    from transformers import PreTrainedModel

KEPT = frozenset(
    {
        "aten::mm",
        "aten::addmm",
        "aten::_grouped_mm",
        "aten::_scaled_mm",
        "aten::_scaled_dot_product_flash_attention",
        "aten::_scaled_dot_product_flash_attention_for_cpu",
        "aten::_scaled_dot_product_efficient_attention",
        "aten::_scaled_dot_product_cudnn_attention",
        "aten::_scaled_dot_product_attention_math",
    }
)
"""Operations whose results selective checkpointing keeps: products with weights, and kernels of attention. Batched
products are not among them: those of eager attention are as large as its scores."""
KEPT_NAMESPACES = ("flash_attn::", "flash_attn_3::", "torch_attn::")
"""Of packages, and of torch's namespace for varlen, all of whose operations are kernels of attention."""


def recompute_activations(model: PreTrainedModel, how: bool | Literal["selective"] = True) -> None:
    """Keep few activations of a model's layers for the backward pass: less memory, more time.

    Args:
        model: before it is tuned.
        how: False: keep all; True: keep the layers' inputs alone; "selective": also the results of ``KEPT``.
    """
    if how is False:
        return
    options: dict[str, Any] = {"use_reentrant": False}
    if how == "selective":
        options["context_fn"] = selective_contexts
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable(activation_checkpointing_kwargs=options)
    else:  # the older name, which warns where the other one exists
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=options)  # type: ignore[no-untyped-call]


def selective_contexts() -> Any:
    """The contexts of one forward pass and its recomputation, as ``torch.utils.checkpoint`` asks for them."""
    return selective_modes(_policy)


def _policy(_context: object, operation: Any, *_arguments: object, **_options: object) -> Any:
    from torch.utils.checkpoint import CheckpointPolicy

    name = operation.name().partition(".")[0]  # without the overload
    kept = name in KEPT or name.startswith(KEPT_NAMESPACES)
    return CheckpointPolicy.MUST_SAVE if kept else CheckpointPolicy.PREFER_RECOMPUTE
