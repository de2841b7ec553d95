"""All generators are seeded, saved and restored together."""

import random

import numpy as np
import torch

from mftkit.base.random_state import random_state, seed_generators, set_random_state


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.random()), float(torch.rand(()))


def test_random_numbers_continue_where_they_were() -> None:
    random.gauss(0, 1)  # leaves a second number behind, which is state too
    np.random.normal()
    state = random_state()
    expected = draw(), random.gauss(0, 1), float(np.random.normal())
    draw()
    set_random_state(state)
    assert (draw(), random.gauss(0, 1), float(np.random.normal())) == expected


def test_a_seed_decides_what_each_of_them_draws() -> None:
    before = random_state()
    try:
        drawn = []
        for seed in (3, 2**62 + 4, 3):
            seed_generators(seed)
            drawn.append(draw())
    finally:
        set_random_state(before)
    assert drawn[0] == drawn[2]
    assert drawn[0][0] != drawn[1][0]
    assert drawn[0][2] != drawn[1][2]


def test_random_state_of_more_devices_than_there_are_is_left_out() -> None:
    state = random_state()
    saved = [torch.get_rng_state()] * (torch.cuda.device_count() + 1)
    set_random_state({**state, "cuda": [*state["cuda"], saved[-1]]})
