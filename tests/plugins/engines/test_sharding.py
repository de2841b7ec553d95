"""What each engine divides, at one device, at several, and with a frozen base."""

from __future__ import annotations

from typing import Any

import pytest

from mftkit import Engine, Sharding, build_component


def sharding(name: str, devices: int, frozen_base: bool = False, **options: Any) -> Sharding:
    return build_component(Engine, name, options).sharding(devices, frozen_base=frozen_base)


@pytest.mark.parametrize("name", ["ddp", "fsdp2"])
@pytest.mark.parametrize("frozen_base", [False, True])
def test_one_device_holds_everything(name: str, frozen_base: bool) -> None:
    assert sharding(name, 1, frozen_base) == Sharding()


def test_ddp_copies_everything_and_keeps_its_buckets() -> None:
    assert sharding("ddp", 8) == Sharding(keeps_gradients=True)


def test_fsdp2_divides_all_but_adapters() -> None:
    full, adapters = sharding("fsdp2", 8), sharding("fsdp2", 8, frozen_base=True)
    assert (full.trained, full.gradients, full.optimizer) == (8, 8, 8)
    assert (adapters.frozen, adapters.trained, adapters.gradients, adapters.optimizer) == (8, 1, 1, 1)
    assert sharding("fsdp2", 8, replicas=4).optimizer == 2
    assert sharding("fsdp2", 8, replicas=8).gathered_units == 0
    assert sharding("fsdp2", 8, reshard_after_forward=False).gathers_all
    offloaded = sharding("fsdp2", 8, cpu_offload=True)
    assert (offloaded.offloads_weights, offloaded.offloads_optimizer) == (True, True)
