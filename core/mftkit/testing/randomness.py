"""Guards for the global random state of a process, which components must not use.

A component that draws from it makes a resumed run differ from an uninterrupted one.
"""

from __future__ import annotations

import random
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from mftkit.base.random_state import seed_generators
from mftkit.testing.assertions import require

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Shared(NamedTuple):
    torch: torch.Tensor
    numpy: dict[str, Any]
    random: tuple[Any, ...]


@contextmanager
def assert_rng_untouched(what: str) -> Iterator[None]:
    """Fail if the block changes the random state of torch, numpy or Python; the state is restored in any case."""
    before = _read()
    try:
        yield
        moved = _moved(before, _read())
    finally:
        _write(before)
    require(not moved, f"{what} draws from the random state of {moved}: give it its own generator")


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the random state of torch, numpy and Python in the block, and restore it afterwards."""
    before = _read()
    seed_generators(seed)
    try:
        yield
    finally:
        _write(before)


def _read() -> _Shared:
    state: Any = np.random.get_state(legacy=False)  # noqa: NPY002
    return _Shared(torch.get_rng_state(), state, random.getstate())


def _write(state: _Shared) -> None:
    torch.set_rng_state(state.torch)
    np.random.set_state(state.numpy)  # noqa: NPY002
    random.setstate(state.random)


def _moved(before: _Shared, after: _Shared) -> str:
    same = {
        "torch": torch.equal(before.torch, after.torch),
        "numpy": _plain(before.numpy) == _plain(after.numpy),
        "random": before.random == after.random,
    }
    return " and ".join(name for name, unmoved in same.items() if not unmoved)


def _plain(state: Any) -> Any:
    if isinstance(state, dict):
        return {key: _plain(value) for key, value in state.items()}
    return state.tolist() if isinstance(state, np.ndarray) else state
