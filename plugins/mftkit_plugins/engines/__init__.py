"""The built-in engines."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import mftkit

if TYPE_CHECKING:
    from mftkit import Register

# accelerate imports DeepSpeed wherever it is installed, and it reports what it finds on the machine to every user.
logging.getLogger("DeepSpeed").addFilter(lambda record: record.levelno >= logging.ERROR)


@mftkit.hookimpl
def register_engines(register: Register) -> None:
    """Register the built-in engines."""
    here = "mftkit_plugins.engines"
    register("ddp", f"{here}.ddp:Ddp", summary="a whole model in each process, with torch's DDP")
    register(
        "fsdp2", f"{here}.fsdp2:Fsdp2", summary="weights, gradients and optimizer sharded, with torch's FSDP2"
    )
    register(
        "deepspeed",
        f"{here}.deepspeed:DeepSpeed",
        summary="optimizer, gradients and, with stage 3, weights sharded, with DeepSpeed's ZeRO; offloads to the CPU",
    )
