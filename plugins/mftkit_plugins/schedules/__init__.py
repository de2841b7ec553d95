"""The built-in schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mftkit

if TYPE_CHECKING:
    from mftkit import Register


@mftkit.hookimpl
def register_schedules(register: Register) -> None:
    """Register the built-in schedules."""
    here = "mftkit_plugins.schedules"
    register(
        "cosine",
        f"{here}.cosine:Cosine",
        summary="falls along half a cosine, fastest in the middle",
        default=True,
    )
    register("linear", f"{here}.linear:Linear", summary="falls in a straight line")
    register("constant", f"{here}.constant:Constant", summary="stays at the peak")
    register("wsd", f"{here}.wsd:Wsd", summary="stays at the peak, then falls in the last part of the run")
