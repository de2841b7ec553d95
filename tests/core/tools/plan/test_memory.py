"""The arithmetic of memory, against sums by hand."""

from __future__ import annotations

import pytest

from mftkit.interfaces.sharding import Sharding
from mftkit.tools.plan.fake_step import Moment
from mftkit.tools.plan.memory import Load, fixed_use, peak_use
from mftkit.tools.plan.sizes import Sizes

GIB = 2**30
FULL = Sizes(
    total=GIB, trained=GIB, active=GIB, frozen_bytes=0, trained_bytes=4 * GIB, optimizer_bytes=8 * GIB, buffer_bytes=0, frozen_unit=0,
    trained_unit=GIB // 4, frozen_root=0, trained_root=GIB, largest_dequantized=0, frozen_products=0,
    trained_products=GIB, layer_products=GIB,
)  # fmt: skip
LORA = Sizes(
    total=GIB, trained=GIB // 64, active=GIB, frozen_bytes=GIB, trained_bytes=GIB // 16, optimizer_bytes=GIB // 8, buffer_bytes=0,
    frozen_unit=GIB // 8, trained_unit=GIB // 128, frozen_root=GIB // 4, trained_root=0, largest_dequantized=7,
    frozen_products=GIB, trained_products=GIB // 64, layer_products=GIB,
)  # fmt: skip
FORWARD = Moment(gradients=0, activations=3 * GIB, casts=2 * GIB, logits=GIB)
END = Moment(gradients=4 * GIB, activations=GIB, casts=0, logits=0)


def test_everything_in_each_device() -> None:
    use = fixed_use(FULL, Sharding())
    assert (use.weights, use.gradients, use.optimizer, use.adapters) == (4 * GIB, 4 * GIB, 8 * GIB, 0)
    assert use.total == use.fixed == 16 * GIB


def test_the_peak_is_before_or_after_the_gradients_appear() -> None:
    use = peak_use(FULL, (FORWARD, END), Sharding(), Load(1, 1))
    assert use.total == (4 + 8) * GIB + (3 + 2 + 1) * GIB
    several = peak_use(FULL, (FORWARD, END), Sharding(), Load(1, 2))
    assert several.total == use.total + 4 * GIB, "the gradients of the first micro-batch are there"
    assert peak_use(FULL, (FORWARD, END), Sharding(keeps_gradients=True), Load(1, 1)) == several
    small = Moment(0, 0, 0, 0)
    assert peak_use(FULL, (small, END), Sharding(), Load(1, 1)).total == (4 + 8 + 4 + 1) * GIB


def test_divided_weights_are_gathered_by_layers() -> None:
    use = fixed_use(FULL, Sharding(trained=4, gradients=4, optimizer=4, gathered_units=2))
    assert (use.weights, use.gradients, use.optimizer) == (GIB, GIB, 2 * GIB)
    layers = 2 * GIB // 4 + GIB
    assert use.gathered == 2 * layers, "their weights and their gradients"
    whole = fixed_use(FULL, Sharding(trained=4, gradients=4, optimizer=4, gathered_units=2, gathers_all=True))
    assert whole.gathered == 4 * GIB + layers


def test_copies_of_divided_weights_are_those_of_gathered_layers() -> None:
    sharding = Sharding(trained=4, gradients=4, optimizer=4, gathered_units=2)
    use = peak_use(FULL, (FORWARD,), sharding, Load(1, 1, recomputes=True))
    assert use.activations == 3 * GIB + 2 * GIB * (1.5 / 4)
    whole = peak_use(FULL, (FORWARD,), sharding, Load(1, 1))
    assert whole.activations == 5 * GIB, "the backward pass needs all copies"


def test_adapters_beside_a_divided_base() -> None:
    use = peak_use(LORA, (FORWARD,), Sharding(frozen=4, gathered_units=2), Load(1, 1))
    assert (use.weights, use.adapters, use.optimizer) == (GIB / 4, GIB / 16, GIB / 8)
    assert use.gathered == 2 * GIB // 8 + GIB // 4
    assert use.activations == 5 * GIB + 7, "and one matrix that is dequantized"


def test_what_is_offloaded_is_in_the_hosts_memory() -> None:
    both = Sharding(offloads_weights=True, offloads_optimizer=True)
    use = fixed_use(FULL, both)
    assert (use.total, use.host) == (0, 16 * GIB)
    assert fixed_use(FULL, Sharding(copies_weights=True)).optimizer == 12 * GIB


@pytest.mark.parametrize("copies", [1, 3])
def test_a_combiner_holds_one_gradient_per_task_and_their_combination(copies: int) -> None:
    assert fixed_use(FULL, Sharding(), copies).gradients == copies * 4 * GIB
