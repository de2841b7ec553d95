"""Rotary scalings that follow the longest text of a forward pass (LongRoPE, dynamic NTK), fixed for a whole run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn
    from transformers import PreTrainedConfig, PreTrainedModel

LONG = "longrope"
FIXED = "default"
"""The rotary type under which transformers leaves the frequencies alone in the forward pass."""


def fix_rotary(model: PreTrainedModel, length: int) -> str:
    """Give every rotary embedding the frequencies that it has at ``length`` tokens, whatever a batch holds.

    transformers chooses the frequencies of a forward pass by its longest sample, so that a sample's logits would depend
    on what else is in its batch. The config, which is saved, stays as it is. Returns a sentence for the plan; "" if no
    scaling follows the batch.
    """
    kinds: set[str] = set()
    original = 0
    for module, layer_type, kind in list(_dynamic(model)):
        settings = _settings(module, layer_type)
        positions = _config(module).max_position_embeddings
        if kind == LONG:
            positions = settings.get("original_max_position_embeddings") or positions
        original = int(cast("int", positions))
        _fix(module, layer_type, kind, length, original)
        kinds.add(kind)
    if not kinds:
        return ""
    return _describe(kinds, length, original)


def _describe(kinds: set[str], length: int, original: int) -> str:
    names = " and ".join("LongRoPE" if kind == LONG else "dynamic NTK" for kind in sorted(kinds))
    start = (
        f"the rotary scaling of this model ({names}) is fixed for the run as at max_length ({length}), so that no "
        "sample depends on its batch"
    )
    if length <= original:
        return f"{start}: a text of at most {original} tokens is read with the same frequencies in use"
    read = f"more than {original} tokens" if kinds == {LONG} else f"{length} tokens"
    hint = f"set max_length to at most {original} to train short texts as they are read by themselves"
    return f"{start}: in use, texts of {read} are read like this; {hint}"


def _fix(module: nn.Module, layer_type: str | None, kind: str, length: int, original: int) -> None:
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    prefix = "" if layer_type is None else f"{layer_type}_"
    buffer = getattr(module, f"{prefix}inv_freq")
    given = {} if layer_type is None else {"layer_type": layer_type}
    # LongRoPE has two sets of frequencies: the longer one is chosen by a length above the original positions.
    seq_len = (original + 1 if length > original else original) if kind == LONG else length
    frequencies, scaling = ROPE_INIT_FUNCTIONS[kind](_config(module), buffer.device, seq_len=seq_len, **given)
    for name in ("inv_freq", "original_inv_freq"):
        own = getattr(module, f"{prefix}{name}", None)
        if own is not None:
            setattr(module, f"{prefix}{name}", frequencies.to(own).clone())
    if hasattr(module, f"{prefix}attention_scaling"):
        setattr(module, f"{prefix}attention_scaling", scaling)
    if layer_type is None:
        setattr(module, "rope_type", FIXED)  # noqa: B010  # declared by no class that is common to all
    else:
        kinds = cast("dict[str, str]", module.rope_type)
        setattr(module, "rope_type", {**kinds, layer_type: FIXED})  # noqa: B010


def _dynamic(model: nn.Module) -> Iterator[tuple[nn.Module, str | None, str]]:
    """Yield each rotary embedding whose frequencies follow the batch, with its type of layers, if it has several."""
    for module in model.modules():
        kinds = getattr(module, "rope_type", None)
        if isinstance(kinds, str) and _follows_batch(kinds):
            yield module, None, kinds
        elif isinstance(kinds, Mapping):
            for layer_type, kind in list(kinds.items()):
                if _follows_batch(str(kind)):
                    yield module, str(layer_type), str(kind)


def _follows_batch(kind: str) -> bool:
    return kind == LONG or "dynamic" in kind


def _config(module: nn.Module) -> PreTrainedConfig:
    config: PreTrainedConfig = module.config  # type: ignore[assignment]
    return config


def _settings(module: nn.Module, layer_type: str | None) -> Mapping[str, object]:
    settings: Mapping[str, object] = getattr(_config(module), "rope_parameters", None) or {}
    if layer_type is None:
        return settings
    inner = settings.get(layer_type)
    return inner if isinstance(inner, Mapping) else {}
