"""Tables of positions, learned or computed once: a model that has one cannot read longer texts.

Which families have one is found by trying, on the outline of a model (tensors with sizes and no values): no list of
families would be complete.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import torch
from torch import nn

from mftkit.models.native import decoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from transformers import PreTrainedModel

    from mftkit.base.json_types import JsonObject

NAMES = re.compile(r"position|n_ctx|ctx_len|context|seq_len|seq_length|model_max_length")
"""Keys of a config that may hold the size of a table of positions."""
SHORTEST = 2
"""Tokens of the shortest row that is tried: some attention kernels take one token for a step of generation."""


def may_exceed(config: JsonObject, length: int) -> bool:
    """Return True if a config has a number of positions that is smaller than ``length``."""
    return any(size < length for size in _sizes(config))


def table_size(outline: PreTrainedModel, length: int) -> int | None:
    """Return the number of positions that a model can read, if it is smaller than ``length``; None if it is not.

    Two rows are tried on one layer of the model: two tokens at high positions, which fails where an index is beyond a
    table; and ``length`` tokens without values, which fails where shapes do not fit. What is found counts only if the
    config names it, because a row may fail for other reasons.

    Args:
        outline: a model on the "meta" device; its tensors and layers are replaced.
        length: the longest row, in tokens, at least 2.
    """
    sizes = _sizes(outline.config.get_text_config().to_dict())
    with torch.no_grad():
        _keep_one_layer(outline)
        found = [_largest(lambda n: _fits_shapes(outline, n), length)]
        _fill_with_zeros(outline)
        found.append(_largest(lambda n: _fits_index(outline, n), length))
    known = [size for size in found if size is not None and size in sizes]
    return min(known, default=None)


def _sizes(config: JsonObject) -> set[int]:
    return {
        value
        for key, value in config.items()
        if NAMES.search(key) and isinstance(value, int) and not isinstance(value, bool) and value >= SHORTEST
    }


def _largest(fits: Callable[[int], bool], length: int) -> int | None:
    """Return the largest number that fits, if it is smaller than ``length``; None, too, if nothing fits."""
    if length < SHORTEST or not fits(SHORTEST) or fits(length):
        return None
    low, high = SHORTEST, length
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _fits_shapes(model: PreTrainedModel, length: int) -> bool:
    """Return True unless a row of ``length`` tokens fails; where values are needed, nothing is known."""
    ids = torch.zeros((1, length), dtype=torch.int64, device="meta")
    try:
        decoder(model)(input_ids=ids, attention_mask=None, use_cache=False)
    except Exception as error:
        return "meta" in str(error) or isinstance(error, NotImplementedError)
    return True


def _fits_index(model: PreTrainedModel, length: int) -> bool:
    """Return True unless two tokens at the last two of ``length`` positions fail."""
    positions = torch.tensor([[length - 2, length - 1]])
    try:
        decoder(model)(
            input_ids=torch.zeros_like(positions),
            position_ids=positions,
            attention_mask=None,
            use_cache=False,
        )
    except Exception:
        return False
    return True


def _keep_one_layer(model: nn.Module) -> None:
    """Keep the first module of each list of equal modules: the layers of a decoder."""
    for module in list(model.modules()):
        if isinstance(module, nn.ModuleList) and len({type(each) for each in module}) == 1:
            del module[1:]


def _fill_with_zeros(model: nn.Module) -> None:
    """Replace all tensors by zeros of the same sizes on the CPU, each of which takes the memory of one number."""
    for module in model.modules():
        for name, parameter in list(module._parameters.items()):
            if parameter is not None:
                zeros = torch.zeros((), dtype=parameter.dtype, device="cpu").expand(parameter.shape)
                module._parameters[name] = nn.Parameter(zeros, requires_grad=False)
        for name, buffer in list(module._buffers.items()):
            if buffer is not None:
                module._buffers[name] = torch.zeros((), dtype=buffer.dtype, device="cpu").expand(buffer.shape)
