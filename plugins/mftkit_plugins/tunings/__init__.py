"""The built-in tunings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mftkit

if TYPE_CHECKING:
    from mftkit import Register


@mftkit.hookimpl
def register_tunings(register: Register) -> None:
    """Register the built-in tunings."""
    here = "mftkit_plugins.tunings"
    register("full", f"{here}.full:Full", summary="trains every parameter", default=True)
    register("lora", f"{here}.lora:Lora", summary="trains low-rank adapters on a frozen base, with peft")
    register("qlora", f"{here}.qlora:QLora", summary="LoRA on a base in 4-bit NF4, with bitsandbytes")
