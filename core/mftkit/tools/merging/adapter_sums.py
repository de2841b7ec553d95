"""The average of low-rank adapters as one adapter, whose update is exactly the average of theirs.

An adapter's update of a weight is s B A, with s = alpha / rank (arXiv 2106.09685). The sum of w s_i B_i A_i is the
product of the B_i side by side and of the w s_i A_i below each other: an adapter whose rank is the sum of the ranks.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from mftkit.base.atomic_files import write_json
from mftkit.base.json_files import read_json_object
from mftkit.base.quiet import without_peft_noise
from mftkit.models.config import ADAPTER_CONFIG
from mftkit.tools.merging.methods import wide
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from mftkit.base.json_types import JsonObject

WEIGHTS = "adapter_model.safetensors"
_PREFIX = "base_model.model."
_A, _B = ("lora_A.weight", "lora_embedding_A"), ("lora_B.weight", "lora_embedding_B")
_MORE_THAN_PRODUCTS = (
    "use_dora",
    "lora_bias",
    "modules_to_save",
    "target_parameters",
    "trainable_token_indices",
)
"""Fields of peft's config with which an adapter is more than products of two matrices, or products of another form."""


def check_products(adapter: Path) -> None:
    """Raise MftError for an adapter that is something else than a product B A for each of its modules."""
    config = read_json_object(adapter / ADAPTER_CONFIG)
    found = [key for key in _MORE_THAN_PRODUCTS if config.get(key)]
    if config.get("bias", "none") != "none":
        found.append("bias")
    if "lora_alpha" not in config:
        found = [f"the type {config.get('peft_type')}"]
    if not found:
        with safe_open(adapter / WEIGHTS, "pt") as weights:
            found = [name for name in weights.keys() if _split(name) is None][:1]  # noqa: SIM118
    if found:
        raise MftError(
            f"{adapter}: this adapter has {', '.join(found)}, and only adapters that are products of two matrices can "
            "be merged with others; leave such arms out"
        )


def concatenate(adapters: Sequence[Path], weight: float, base: str, target: Path) -> None:
    """Write the adapter whose updates are ``weight`` times the sum of those of others.

    Args:
        adapters: directories of adapters that are products (see ``check_products``) of the same modules.
        weight: factor of the sum.
        base: the base that the config names.
        target: an existing directory.

    Raises MftError for adapters that do not fit together.
    """
    configs = [read_json_object(each / ADAPTER_CONFIG) for each in adapters]
    weights = [load_file(each / WEIGHTS) for each in adapters]
    if any(each.keys() != weights[0].keys() for each in weights):
        raise MftError(f"{adapters[0]}: the adapters are of different modules, so they cannot be merged")
    ranks: dict[str, int] = {}
    made: dict[str, Tensor] = {}
    for name in weights[0]:
        module, side = _split(name) or ("", "")
        parts = [wide(each[name]) for each in weights]
        if side in _A:
            scales = [_scale(config, module) for config in configs]
            made[name] = torch.cat([part * weight * s for s, part in zip(scales, parts, strict=True)], dim=0)
            ranks[module] = int(made[name].shape[0])
        else:
            made[name] = torch.cat(parts, dim=1)
    save_file(
        {name: each.contiguous() for name, each in made.items()}, target / WEIGHTS, metadata={"format": "pt"}
    )
    write_json(target / ADAPTER_CONFIG, _config(configs[0], ranks, base))


def blocks(adapters: Sequence[Path]) -> dict[str, list[int]]:
    """The tensors of the adapter that ``concatenate`` makes which hold the factors: of each the rows by adapter."""
    found: dict[str, list[int]] = {}
    for adapter in adapters:
        with safe_open(adapter / WEIGHTS, "pt") as weights:
            for name in weights.keys():  # noqa: SIM118
                if (_split(name) or ("", ""))[1] in _A:
                    found.setdefault(name, []).append(int(weights.get_slice(name).get_shape()[0]))
    return found


def in_memory(name: str, adapter: str) -> str:
    """The name that a tensor of an adapter's file has in peft's model, where the adapter is named ``adapter``.

    >>> in_memory("base_model.model.q_proj.lora_A.weight", "default")
    'base_model.model.q_proj.lora_A.default.weight'
    """
    stem, dot, last = name.rpartition(".")
    return f"{stem}.{adapter}.{last}" if last == "weight" else f"{stem}{dot}{last}.{adapter}"


def _split(name: str) -> tuple[str, str] | None:
    """The module of a tensor, by peft's name for it, and which of its matrices it is; None for other tensors."""
    for side in (*_A, *_B):
        if name.endswith(f".{side}"):
            return name.removeprefix(_PREFIX).removesuffix(f".{side}"), side
    return None


def _scale(config: JsonObject, module: str) -> float:
    """The factor of B A in a module: alpha / rank, or alpha / sqrt(rank) (rank-stabilized, arXiv 2312.03732)."""
    with without_peft_noise():
        from peft.utils.other import get_pattern_key

    def of_module(pattern: dict[str, float], otherwise: float) -> float:
        return pattern.get(get_pattern_key(list(pattern), module), otherwise)

    rank = of_module(config.get("rank_pattern") or {}, config["r"])
    alpha = of_module(config.get("alpha_pattern") or {}, config["lora_alpha"])
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _config(first: JsonObject, ranks: dict[str, int], base: str) -> JsonObject:
    """The config of an adapter of these ranks by module, whose scale is 1 everywhere."""
    common = max(set(ranks.values()), key=list(ranks.values()).count)
    pattern = {module: rank for module, rank in ranks.items() if rank != common}
    return {
        **first,
        "base_model_name_or_path": base,
        "r": common,
        "lora_alpha": common,
        "rank_pattern": pattern,
        "alpha_pattern": dict(pattern),
        "use_rslora": False,
        "lora_dropout": 0.0,
        "init_lora_weights": True,
        "inference_mode": True,
    }
