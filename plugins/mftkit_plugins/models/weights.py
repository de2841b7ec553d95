"""Weight conversions for which transformers' loader has no operation."""

from __future__ import annotations

# ruff: noqa: ARG002  # the loader calls every operation with the same arguments
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import torch
from transformers.core_model_loading import ConversionOps, WeightConverter

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Weights: TypeAlias = dict[str, Any]
"""By name, a tensor or a list of one tensor: transformers declares lists, passes either and accepts either."""
QKV = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")


class FromHeads(ConversionOps):
    """From [heads * 3 * n, ...], each head's q, k and v together, to [3 * heads * n, ...]: all q, all k, all v."""

    def __init__(self, heads: int) -> None:
        self.heads = heads

    def convert(
        self,
        input_dict: Weights,
        source_patterns: list[str],
        target_patterns: list[str],
        **kwargs: object,
    ) -> Weights:
        """Convert one tensor to one."""
        name, tensor = _only(input_dict)
        size, rest = divmod(_rows(tensor), 3 * self.heads)
        if rest or not size:
            return {name: tensor}  # the wrong shape is reported by the loader
        split = tensor.view(self.heads, 3, size, *tensor.shape[1:])
        return {name: split.transpose(0, 1).reshape(tensor.shape)}


class SplitRows(ConversionOps):
    """Split rows into blocks of the native parameters' sizes.

    If the sizes do not add up, transformers' own ``Split`` fails with an error that names neither tensor nor shape.
    """

    def convert(
        self,
        input_dict: Weights,
        source_patterns: list[str],
        target_patterns: list[str],
        **kwargs: object,
    ) -> Weights:
        """Convert one tensor to one per target; if sizes do not add up, to itself, whose shape the loader reports."""
        _, tensor = _only(input_dict)
        layer, model = cast("str", kwargs["full_layer_name"]), cast("PreTrainedModel", kwargs["model"])
        parameters = [layer.replace(target_patterns[0], target) for target in target_patterns]
        sizes = [len(model.get_parameter(parameter)) for parameter in parameters]
        if sum(sizes) != _rows(tensor):
            # With one more dimension where it fits a target as it is: it would be loaded as each of them.
            return dict.fromkeys(target_patterns, tensor[None] if _rows(tensor) in sizes else tensor)
        pieces = torch.split_with_sizes(tensor, sizes)
        return {target: piece.contiguous() for target, piece in zip(target_patterns, pieces, strict=True)}


class UnitRows(ConversionOps):
    """Scale the rows of [V, H] to length 1, computed in float32 or wider: a normalized head, folded."""

    def convert(
        self,
        input_dict: Weights,
        source_patterns: list[str],
        target_patterns: list[str],
        **kwargs: object,
    ) -> Weights:
        """Convert one tensor to one."""
        name, tensor = _only(input_dict)
        if tensor.ndim != 2:
            return {name: tensor}  # the wrong shape is reported by the loader
        exact = tensor.to(torch.promote_types(tensor.dtype, torch.float32))
        return {name: torch.nn.functional.normalize(exact).to(tensor.dtype)}


def split_qkv(packed: str, *before: ConversionOps) -> WeightConverter:
    """Return the conversion of a packed projection to q, k and v, row blocks of the native sizes."""
    return WeightConverter(packed, list(QKV), operations=[*before, SplitRows()])


def _rows(tensor: torch.Tensor) -> int:
    return len(tensor) if tensor.ndim else 0


def _only(given: Weights) -> tuple[str, torch.Tensor]:
    ((name, value),) = given.items()
    return name, value[0] if isinstance(value, list) else value
