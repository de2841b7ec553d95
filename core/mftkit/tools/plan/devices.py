"""Devices to plan for, with the figures that their vendors publish."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mftkit.base.machine import memory
from mftkit_registry import MftError, nearest

USABLE = 0.93
"""Share of a device's memory that tensors can fill. The rest is for the driver's context, kernels and libraries, and
what the allocator cannot use of its blocks. An assumption."""
HOST = "cpu"


@dataclass(frozen=True)
class Device:
    """A device that a run may be planned for."""

    name: str
    memory_bytes: int
    flops: float | None = None
    """Peak of dense bfloat16 products with sums in float32, FLOP/s; None: unknown."""
    bandwidth: float | None = None
    """Of its memory, bytes/s; None: unknown."""
    bfloat16: bool = True

    @property
    def usable_bytes(self) -> float:
        """What tensors can fill."""
        return USABLE * self.memory_bytes

    @property
    def is_host(self) -> bool:
        """Whether it is the processor of this machine."""
        return self.name == HOST


def _device(name: str, gibibytes: int, teraflops: float, gigabytes_per_second: float) -> Device:
    return Device(name, gibibytes * 2**30, teraflops * 1e12, gigabytes_per_second * 1e9)


DEVICES = {
    device.name: device
    for device in (
        # NVIDIA's data sheets: SXM modules, dense bfloat16 (half of the figures with sparsity).
        _device("b200-192g", 192, 2250, 8000),
        _device("h200-141g", 141, 989, 4800),
        _device("h100-80g", 80, 989, 3350),
        _device("a100-80g", 80, 312, 2039),
        _device("a100-40g", 40, 312, 1555),
        _device("l40s-48g", 48, 362, 864),
        _device("a10-24g", 24, 125, 600),
        _device("4090-24g", 24, 165, 1008),
        _device("3090-24g", 24, 71, 936),
        # AMD's data sheet.
        _device("mi300x-192g", 192, 1307, 5300),
    )
}
DEFAULT = "h100-80g"


def find_device(name: str | None) -> tuple[Device, str]:
    """The device of a name, or with None that of this machine; and where it comes from, for the user.

    Raises MftError for a name that is not in the table.
    """
    if name is None:
        here = _own_device()
        if here is not None:
            return here, "the device of this machine"
        return DEVICES[
            DEFAULT
        ], "by default: this machine has no accelerator; choose another one with --device"
    if name == HOST:
        return host(), "this machine's processor and main memory"
    if name not in DEVICES:
        near = nearest(name, DEVICES)
        hint = f"did you mean {near[0]}? " if near else ""
        raise MftError(f"--device: unknown device {name}; {hint}known: {', '.join([*DEVICES, HOST])}")
    return DEVICES[name], "its vendor's figures"


def host() -> Device:
    """The main memory of this machine, or what a container allows of it; training there is in float32."""
    total = memory().total_bytes
    if total is None:
        raise MftError("--device: the size of this machine's memory is unknown; name a device")
    return Device(HOST, total, bfloat16=False)


def _own_device() -> Device | None:
    import torch

    if not torch.cuda.is_available():
        return None
    properties = torch.cuda.get_device_properties(0)
    known = _by_product_name(properties.name, properties.total_memory)
    return Device(
        properties.name,
        properties.total_memory,
        None if known is None else known.flops,
        None if known is None else known.bandwidth,
        bfloat16=torch.cuda.is_bf16_supported(including_emulation=False),
    )


def _by_product_name(product: str, memory_bytes: int) -> Device | None:
    """The device of the table that a driver's name belongs to, the one with the nearest memory if several do."""
    words = set(re.findall(r"[a-z0-9]+", product.lower()))
    fitting = [device for device in DEVICES.values() if device.name.partition("-")[0] in words]
    return min(fitting, key=lambda each: abs(each.memory_bytes - memory_bytes), default=None)
