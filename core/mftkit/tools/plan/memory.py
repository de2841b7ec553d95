"""The memory of one device under an engine, from sizes, activations and the engine's sharding."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mftkit.interfaces.sharding import Sharding
    from mftkit.tools.plan.fake_step import Moment
    from mftkit.tools.plan.sizes import Sizes

COPY_BYTES = 4
"""Of one number of an optimizer's own float32 copy of the weights."""


@dataclass(frozen=True)
class Load:
    """What one device does in a step, whatever the engine."""

    rows: int
    """Packed rows of a forward pass."""
    micro_batches: int
    """Forward passes of a step."""
    gradient_copies: int = 1
    """Complete gradients that are held at once: one per task and their combination, for a combiner."""
    recomputes: bool = False
    """Whether activations are recomputed in the backward pass."""


@dataclass(frozen=True)
class MemoryUse:
    """Bytes on one device at the peak of a step."""

    weights: float
    """Of a model that is trained entirely, or of the frozen base."""
    adapters: float
    """Trained weights beside a frozen base."""
    gradients: float
    optimizer: float
    activations: float
    """With temporary tensors of layers, and copies of weights in the dtype of the arithmetic."""
    logits: float
    gathered: float
    """Complete layers, and their gradients, of weights that are divided; and communication buffers."""
    host: float = 0.0
    """Bytes in the host's memory, for each device."""

    @property
    def total(self) -> float:
        """On the device."""
        return float(sum(asdict(self).values())) - self.host

    @property
    def fixed(self) -> float:
        """What is there whatever the rows: weights, gradients and optimizer."""
        return self.weights + self.adapters + self.gradients + self.optimizer


def fixed_use(sizes: Sizes, sharding: Sharding, gradient_copies: int = 1) -> MemoryUse:
    """Weights, gradients and optimizer alone, as after the backward pass of a step."""
    frozen = sizes.frozen_bytes / sharding.frozen
    trained = sizes.trained_bytes / sharding.trained
    gradients = sizes.trained_bytes * gradient_copies / sharding.gradients
    copies = COPY_BYTES * sizes.trained if sharding.copies_weights else 0
    optimizer = (sizes.optimizer_bytes + copies) / sharding.optimizer
    host = 0.0
    if sharding.offloads_weights:
        host, frozen, trained = frozen + trained, 0.0, 0.0
    if sharding.offloads_optimizer:
        host, gradients, optimizer = host + gradients + optimizer, 0.0, 0.0
    is_frozen = sizes.frozen_bytes > 0
    return MemoryUse(
        weights=(frozen if is_frozen else trained) + sizes.buffer_bytes,
        adapters=trained if is_frozen else 0.0,
        gradients=gradients,
        optimizer=optimizer,
        activations=0.0,
        logits=0.0,
        gathered=_gathered(sizes, sharding) + sharding.buffer_bytes,
        host=host,
    )


def peak_use(sizes: Sizes, moments: tuple[Moment, ...], sharding: Sharding, load: Load) -> MemoryUse:
    """The memory at the moment of a step that takes most of it.

    With several micro-batches, the gradients of the earlier ones are there during the forward pass. Otherwise they
    appear as activations are released, so that the peak is before or after.
    """
    fixed = fixed_use(sizes, sharding, load.gradient_copies)
    stay = load.micro_batches > 1 or sharding.keeps_gradients or load.gradient_copies > 1
    casts = _share_of_casts(sizes, sharding) if load.recomputes else 1.0
    uses = []
    for moment in moments:
        share = moment.gradients / sizes.trained_bytes if sizes.trained_bytes else 0.0
        uses.append(
            MemoryUse(
                **{
                    **asdict(fixed),
                    "gradients": fixed.gradients * (1.0 if stay else min(1.0, share)),
                    "activations": moment.activations + moment.casts * casts + sizes.largest_dequantized,
                    "logits": moment.logits,
                }
            )
        )
    return max((*uses, fixed), key=lambda use: use.total)


def _gathered(sizes: Sizes, sharding: Sharding) -> float:
    """Bytes of complete layers: weights that are divided, and the gradients of layers in their backward pass.

    The root (embedding, head, last norm) is complete from the forward pass to the end of the backward pass.
    """
    units = sharding.gathered_units
    if not units:
        return 0.0
    total = 0.0
    for degree, unit, root, complete in (
        (sharding.frozen, sizes.frozen_unit, sizes.frozen_root, sizes.frozen_bytes),
        (sharding.trained, sizes.trained_unit, sizes.trained_root, sizes.trained_bytes),
    ):
        if degree > 1:
            total += complete if sharding.gathers_all else min(complete, units * unit + root)
    if sharding.gradients > 1:
        total += min(sizes.trained_bytes, units * sizes.trained_unit + sizes.trained_root)
    return total


def _share_of_casts(sizes: Sizes, sharding: Sharding) -> float:
    """The share of autocast's copies that is there at once: of divided weights, those of the gathered layers.

    Without recomputation the backward pass needs all of them, and they stay.
    """
    if sharding.trained == 1 or sharding.gathers_all or not sharding.gathered_units:
        return 1.0
    gathered = sharding.gathered_units * sizes.trained_unit + sizes.trained_root
    return min(1.0, gathered / max(1, sizes.trained_bytes))
