"""How many threads a step on the CPU is worth."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mftkit.base.machine import cores, quota

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
SMALL = 2**17
"""Numbers of one activation below which threads cost more than they give (bench/threads.py)."""


def usable_cores() -> int:
    """Number of threads that can run at the same time, by what this process may use and its container allows."""
    allowed = quota()
    return cores() if allowed is None else min(cores(), max(1, round(allowed)))


def fitting_threads(present: int, size: int, environment: Mapping[str, str] = os.environ) -> int | None:
    """Return the threads for a step on the CPU; None if ``present`` of them are to stay, because the user set them.

    Args:
        present: threads of torch now.
        size: numbers of one activation: positions of a micro-batch times the hidden size; 0 if unknown.
        environment: the variables of this process.
    """
    is_default = present in {cores(), max(1, (os.cpu_count() or 1) // 2), os.cpu_count()}
    if any(environment.get(name) for name in VARIABLES) or not is_default:
        return None
    local = max(1, int(environment.get("LOCAL_WORLD_SIZE", "1")))
    most = max(1, usable_cores() // local)
    return min(present, 1 if 0 < size < SMALL else most)
