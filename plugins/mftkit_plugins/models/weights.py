"""Steps of weight conversion that transformers' loader has no operation for."""

from __future__ import annotations

# ruff: noqa: ARG002  # the loader calls every step with the same arguments
from typing import Any

import torch
from transformers.core_model_loading import ConversionOps, WeightConverter

QKV = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")


class FromHeads(ConversionOps):
    """[heads * 3 * n, ...], each head's q, k and v together, to [3 * heads * n, ...]: all q, all k, all v."""

    def __init__(self, heads: int) -> None:
        self.heads = heads

    def convert(
        self,
        input_dict: dict[str, Any],
        source_patterns: list[str],
        target_patterns: list[str],
        **kwargs: Any,
    ) -> dict[str, Any]:
        """One tensor in, one out."""
        name, tensor = _only(input_dict)
        size, rest = divmod(len(tensor), 3 * self.heads)
        if rest:
            return {name: tensor}  # of a wrong shape, which is told below
        split = tensor.view(self.heads, 3, size, *tensor.shape[1:])
        return {name: split.transpose(0, 1).reshape(tensor.shape)}


class SplitRows(ConversionOps):
    """Row blocks of the sizes that the native parameters have.

    transformers' own ``Split`` fails on sizes that do not add up without a name or a shape.
    """

    def convert(
        self,
        input_dict: dict[str, Any],
        source_patterns: list[str],
        target_patterns: list[str],
        **kwargs: Any,
    ) -> dict[str, Any]:
        """One tensor in, one a target out; where the sizes do not add up, the whole, whose shape is then told."""
        _, tensor = _only(input_dict)
        layer, model = kwargs["full_layer_name"], kwargs["model"]
        parameters = [layer.replace(target_patterns[0], target) for target in target_patterns]
        sizes = [len(model.get_parameter(parameter)) for parameter in parameters]
        if sum(sizes) != len(tensor):
            return dict.fromkeys(target_patterns, tensor)
        pieces = torch.split_with_sizes(tensor, sizes)
        return {target: piece.contiguous() for target, piece in zip(target_patterns, pieces, strict=True)}


class UnitRows(ConversionOps):
    """[V, H] to the same with rows of length 1, in float32 or wider: a normalised head, folded."""

    def convert(
        self,
        input_dict: dict[str, Any],
        source_patterns: list[str],
        target_patterns: list[str],
        **kwargs: Any,
    ) -> dict[str, Any]:
        """One tensor in, one out."""
        name, tensor = _only(input_dict)
        exact = tensor.to(torch.promote_types(tensor.dtype, torch.float32))
        return {name: torch.nn.functional.normalize(exact).to(tensor.dtype)}


def split_qkv(packed: str, *before: ConversionOps) -> WeightConverter:
    """Row blocks of one packed projection, of the sizes that the native q, k and v have."""
    return WeightConverter(packed, list(QKV), operations=[*before, SplitRows()])


def _only(given: dict[str, Any]) -> tuple[str, torch.Tensor]:
    ((name, held),) = given.items()
    return name, held[0] if isinstance(held, list) else held
