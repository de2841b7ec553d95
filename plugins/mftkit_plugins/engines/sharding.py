"""How each engine divides memory. Provisional: each function becomes the ``sharding`` method of its engine."""

from __future__ import annotations

from mftkit import Sharding

FSDP2_UNITS = 2
"""The layer that computes and the next one, gathered in advance (torch's ``fully_shard``, implicit prefetching)."""
ZERO_BUCKET = 500_000_000
"""Numbers in DeepSpeed's reduce_bucket_size and allgather_bucket_size, by default."""


def ddp(devices: int, frozen_base: bool) -> Sharding:  # noqa: ARG001
    """DistributedDataParallel: everything in each device; gradients are views of float32 buckets, which stay."""
    return Sharding(keeps_gradients=devices > 1)


def fsdp2(
    devices: int,
    frozen_base: bool,
    *,
    replicas: int = 1,
    reshard_after_forward: bool = True,
    cpu_offload: bool = False,
) -> Sharding:
    """``fully_shard``: all that is trained divided over a group of devices; adapters complete in each of them.

    Source: arXiv 2304.11277, and torch's documentation of ``fully_shard``.

    Args:
        devices: all devices.
        frozen_base: whether only adapters are trained.
        replicas: groups of devices that hold the same shards.
        reshard_after_forward: whether a layer's weights are released until its backward pass.
        cpu_offload: whether shards, gradients and optimizer are in the host's memory.
    """
    degree = devices // replicas
    of_trained = 1 if frozen_base else degree
    return Sharding(
        frozen=degree,
        trained=of_trained,
        gradients=of_trained,
        optimizer=of_trained,
        gathered_units=FSDP2_UNITS if degree > 1 else 0,
        gathers_all=degree > 1 and not reshard_after_forward,
        offloads_weights=cpu_offload,
        offloads_optimizer=cpu_offload,
    )


def deepspeed(devices: int, frozen_base: bool, *, stage: int = 3, cpu_offload: bool = False) -> Sharding:  # noqa: ARG001
    """ZeRO (arXiv 1910.02054): stage 2 divides gradients and optimizer, stage 3 weights too.

    Its optimizer trains a float32 copy of the weights, and collects gradients in a bucket.
    """
    degree = devices if stage == 3 else 1
    return Sharding(
        frozen=degree,
        trained=degree,
        gradients=devices,
        optimizer=devices,
        gathered_units=FSDP2_UNITS if stage == 3 and devices > 1 else 0,
        copies_weights=True,
        buffer_bytes=0 if devices == 1 else 4 * ZERO_BUCKET,
        offloads_optimizer=cpu_offload,
    )


SHARDINGS = {"ddp": ddp, "fsdp2": fsdp2, "deepspeed": deepspeed}
"""By the names of the engines, with their default options."""
