"""The module of the output head, and its weights in use: a tuning may have wrapped it and train a part of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn
    from transformers import PreTrainedModel


class _Wrapper(Protocol):
    """What is used of peft's wrappers of a trained module."""

    active_adapters: list[str]
    modules_to_save: Mapping[str, nn.Module]
    token_adapter: _TokenAdapter


class _TokenAdapter(Protocol):
    """What is used of peft's layer that trains single rows."""

    def get_base_layer(self) -> nn.Module:
        """Return the layer whose rows are trained."""

    def get_merged_weights(self, active_adapters: list[str]) -> Tensor:
        """Return the layer's weight with the trained rows in place, in the graph of these rows."""


class _LowRank(Protocol):
    """What is used of peft's layers that add a matrix to a weight."""

    active_adapters: list[str]

    def get_base_layer(self) -> nn.Module:
        """Return the adapted layer."""

    def get_delta_weight(self, adapter: str) -> Tensor:
        """Return what an adapter adds to the layer's weight, in the adapter's graph."""


def output_layer(model: PreTrainedModel) -> nn.Module:
    """Return the module of the output head; if an adapter trains a copy of it (peft's modules_to_save), the copy."""
    module: nn.Module = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    if getattr(module, "modules_to_save", None) is None:
        return module
    wrapper = cast("_Wrapper", module)
    [name, *_] = wrapper.active_adapters
    return wrapper.modules_to_save[name]


def output_weights(model: PreTrainedModel) -> tuple[Tensor, Tensor | None]:
    """Return weight [vocabulary, H] and bias [vocabulary] of the head as the model's own forward pass uses them.

    An adapter's part is in the weight, with a gradient: rows that are trained by themselves
    (``trainable_token_indices``), and low-rank changes, which need a second matrix of the weight's size in each forward
    pass. Raises MftError for a head that is no linear layer, and for an adapter that is no change of the weight.
    """
    module = output_layer(model)
    if getattr(module, "token_adapter", None) is not None:
        wrapper = cast("_Wrapper", module)
        inner = _linear(wrapper.token_adapter.get_base_layer(), model)
        if inner.bias is not None:
            raise MftError(
                f"tuning: the head of {type(model).__name__} has a bias, which peft leaves out where it trains single "
                "rows of the head: remove the head from trainable_token_indices"
            )
        return wrapper.token_adapter.get_merged_weights(wrapper.active_adapters), None
    if hasattr(module, "get_delta_weight"):
        return _with_low_rank(module, model)
    linear = _linear(module, model)
    return linear.weight, linear.bias


def _with_low_rank(module: nn.Module, model: PreTrainedModel) -> tuple[Tensor, Tensor | None]:
    from torch import nn

    if any(isinstance(part, nn.Dropout) and part.p > 0 for part in module.modules()):
        raise MftError(
            f"tuning.targets: the head of {type(model).__name__} gets an adapter, whose dropout cannot be applied "
            "where logits are computed in chunks: set tuning.dropout to 0, or remove the head from the targets"
        )
    # A vector of magnitudes or a bias beside the two matrices.
    if any(parameter.requires_grad and parameter.dim() != 2 for parameter in module.parameters()):
        raise MftError(
            f"tuning.targets: the head of {type(model).__name__} gets an adapter that does more than add a "
            "low-rank matrix (for example by use_dora): remove the head from the targets, or such fields from "
            "the tuning's options"
        )
    layer = cast("_LowRank", module)
    inner = _linear(layer.get_base_layer(), model)
    weight: Tensor = inner.weight
    for adapter in layer.active_adapters:
        weight = weight + layer.get_delta_weight(adapter)
    return weight, inner.bias


def _linear(module: nn.Module, model: PreTrainedModel) -> nn.Linear:
    from torch import nn

    # A quantized layer is an nn.Linear too, of packed integers.
    if not isinstance(module, nn.Linear) or not module.weight.is_floating_point() or module.weight.dim() != 2:
        raise MftError(
            f"the head of {type(model).__name__} is not a plain linear layer but {type(module).__name__}: exclude "
            "it from the tuning's targets and from quantization, or use an adapter that supports it"
        )
    return module
