"""Steps of weight conversion that transformers' loader has no operation for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers.core_model_loading import ConversionOps, Split, WeightConverter

if TYPE_CHECKING:
    from torch import Tensor

QKV = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")


class FromHeads(ConversionOps):  # type: ignore[misc, no-untyped-call]
    """[heads * 3 * n, ...], each head's q, k and v together, to [3 * heads * n, ...]: all q, all k, all v."""

    def __init__(self, heads: int) -> None:
        self.heads = heads

    def convert(self, input_dict: dict[str, Any], **_context: Any) -> dict[str, Tensor]:
        """One tensor in, one out."""
        ((name, tensor),) = _tensors(input_dict)
        size, rest = divmod(len(tensor), 3 * self.heads)
        if rest:
            return {name: tensor}  # of a wrong shape, which is told below
        split = tensor.view(self.heads, 3, size, *tensor.shape[1:])
        return {name: split.transpose(0, 1).reshape(tensor.shape)}


class SplitRows(Split):  # type: ignore[misc]
    """Row blocks of the sizes that the native parameters have."""

    def convert(self, input_dict: dict[str, Any], **context: Any) -> dict[str, Tensor]:
        """One tensor in, one a target out; where the sizes do not add up, the whole, whose shape is then told."""
        ((_, tensor),) = _tensors(input_dict)
        targets, layer, model = (context[key] for key in ("target_patterns", "full_layer_name", "model"))
        sizes = [len(model.get_parameter(layer.replace(targets[0], target))) for target in targets]
        if sum(sizes) != len(tensor):
            return dict.fromkeys(targets, tensor)
        pieces: dict[str, Tensor] = super().convert(input_dict, **context)
        return pieces


class UnitRows(ConversionOps):  # type: ignore[misc, no-untyped-call]
    """[V, H] to the same with rows of length 1, in float32 or wider: a normalised head, folded."""

    def convert(self, input_dict: dict[str, Any], **_context: Any) -> dict[str, Tensor]:
        """One tensor in, one out."""
        ((name, tensor),) = _tensors(input_dict)
        exact = tensor.to(torch.promote_types(tensor.dtype, torch.float32))
        return {name: torch.nn.functional.normalize(exact).to(tensor.dtype)}


def split_qkv(packed: str, *before: ConversionOps) -> WeightConverter:
    """Row blocks of one packed projection, of the sizes that the native q, k and v have."""
    return WeightConverter(packed, list(QKV), operations=[*before, SplitRows(dim=0)])


def _tensors(given: dict[str, Any]) -> list[tuple[str, Tensor]]:
    return [(name, held[0] if isinstance(held, list) else held) for name, held in given.items()]
