"""What each engine divides, at one device, at several, and with a frozen base."""

from __future__ import annotations

import pytest

from mftkit import Sharding
from mftkit_plugins.engines.sharding import SHARDINGS, ddp, deepspeed, fsdp2


@pytest.mark.parametrize("name", SHARDINGS)
@pytest.mark.parametrize("frozen_base", [False, True])
def test_one_device_holds_everything(name: str, frozen_base: bool) -> None:
    alone = SHARDINGS[name](1, frozen_base)
    assert (alone.frozen, alone.trained, alone.gradients, alone.optimizer) == (1, 1, 1, 1)
    assert (alone.gathered_units, alone.buffer_bytes, alone.keeps_gradients) == (0, 0, False)


def test_ddp_copies_everything_and_keeps_its_buckets() -> None:
    assert ddp(8, frozen_base=False) == Sharding(keeps_gradients=True)


def test_fsdp2_divides_all_but_adapters() -> None:
    full, adapters = fsdp2(8, frozen_base=False), fsdp2(8, frozen_base=True)
    assert (full.trained, full.gradients, full.optimizer) == (8, 8, 8)
    assert (adapters.frozen, adapters.trained, adapters.gradients, adapters.optimizer) == (8, 1, 1, 1)
    assert fsdp2(8, frozen_base=False, replicas=4).optimizer == 2
    assert fsdp2(8, frozen_base=False, replicas=8).gathered_units == 0
    assert fsdp2(8, frozen_base=False, reshard_after_forward=False).gathers_all
    assert fsdp2(8, frozen_base=False, cpu_offload=True).offloads_weights


def test_the_stages_of_zero() -> None:
    two, three = deepspeed(8, frozen_base=False, stage=2), deepspeed(8, frozen_base=False)
    assert (two.trained, two.gradients, two.optimizer, two.gathered_units) == (1, 8, 8, 0)
    assert (three.trained, three.gradients, three.optimizer) == (8, 8, 8)
    assert two.copies_weights
    assert deepspeed(8, frozen_base=False, cpu_offload=True).offloads_optimizer
