"""How an engine divides a training step's memory over devices; the plan of resources computes with it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sharding:
    """What one device holds of a model in training, as degrees of division; 1 means a complete copy.

    Activations and logits are never divided: each device computes its own rows. A unit is what the engine gathers at a
    time, taken to be one decoder layer; embedding, head and the last norm are the root, gathered for the whole step.
    """

    frozen: int = 1
    """Devices over which each frozen weight is divided."""
    trained: int = 1
    """Devices over which each trained weight is divided: of all weights in full tuning, or of adapters."""
    gradients: int = 1
    """Devices over which gradients are divided."""
    optimizer: int = 1
    """Devices over which the optimizer's state is divided."""
    gathered_units: int = 0
    """Complete units of divided weights, and of their gradients, that a device holds at once; 0: weights stay whole."""
    gathers_all: bool = False
    """Whether a gathered unit stays complete until the end of the step, so that all of them are held at once."""
    keeps_gradients: bool = False
    """Whether the memory of gradients stays allocated between steps, in buckets for instance."""
    copies_weights: bool = False
    """Whether the optimizer holds its own float32 copy of the trained weights, divided as its state."""
    buffer_bytes: int = 0
    """Fixed communication buffers of each device."""
    offloads_weights: bool = False
    """Whether divided weights and their gradients are in the host's memory between their uses."""
    offloads_optimizer: bool = False
    """Whether the optimizer's state, and the gradients that it reads, are in the host's memory."""
