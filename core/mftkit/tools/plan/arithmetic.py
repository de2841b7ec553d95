"""The arithmetic of a step and the time that it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from mftkit.interfaces.sharding import Sharding
    from mftkit.tools.plan.devices import Device
    from mftkit.tools.plan.memory import Load
    from mftkit.tools.plan.sizes import Sizes

UPDATE_BYTES = 12
"""Bytes that an update reads and writes per float32 parameter beside the optimizer's state: the weight both ways, and
the gradient."""


@dataclass(frozen=True)
class StepTime:
    """Seconds of a step."""

    seconds: float
    bound_by: str
    """"arithmetic" or "memory bandwidth"."""


def flop_per_token(sizes: Sizes, config: PreTrainedConfig, length: int, *, recomputes: bool) -> float:
    """Floating-point operations per token of a full row, forward and backward.

    A trained parameter takes 6 (2 forward, 2 for the gradient of its input, 2 for its own) and a frozen one 4 (arXiv
    2001.08361, section 2.1, extended to frozen weights); attention takes 12 per layer, position and channel, of which
    a causal mask leaves half (arXiv 2204.02311, appendix B). Recomputation repeats the forward pass of the layers.

    Args:
        sizes: of the model; of experts those count that a token is routed to.
        config: of the decoder.
        length: tokens in a row.
        recomputes: with gradient checkpointing.
    """
    channels = _attention_channels(config)
    products = 6 * sizes.trained_products + 4 * sizes.frozen_products + 6 * length * channels
    return products + (2 * sizes.layer_products + 2 * length * channels if recomputes else 0.0)


def _attention_channels(config: PreTrainedConfig) -> float:
    """Channels of all heads in all layers; 0 for a model without attention heads."""
    heads, layers = getattr(config, "num_attention_heads", 0), getattr(config, "num_hidden_layers", 0)
    width = getattr(config, "head_dim", None) or getattr(config, "hidden_size", 0) / max(1, heads)
    return float(layers * heads * width)


def step_time(
    flop: float,
    sizes: Sizes,
    sharding: Sharding,
    load: Load,
    device: Device,
    devices: int,
    *,
    utilization: float,
    passes: int,
) -> StepTime | None:
    """The time of a step: the longer of its arithmetic and its transfers from and to each device's memory.

    Communication between devices is not included. None if the device's figures are unknown.

    Args:
        flop: of the step, over all devices.
        sizes: of the model.
        sharding: of the engine.
        load: of one device.
        device: what computes.
        devices: how many.
        utilization: share of the peak that the arithmetic reaches.
        passes: how often a micro-batch reads the weights: forward, backward, and for recomputation.
    """
    if device.flops is None or device.bandwidth is None:
        return None
    arithmetic = flop / (devices * device.flops * utilization)
    read = load.micro_batches * passes * (sizes.frozen_bytes + sizes.trained_bytes)
    update = UPDATE_BYTES * sizes.trained + 2 * sizes.optimizer_bytes  # the state both ways
    transfers = (read + update / sharding.optimizer) / device.bandwidth
    if transfers > arithmetic:
        return StepTime(transfers, "memory bandwidth")
    return StepTime(arithmetic, "arithmetic")
