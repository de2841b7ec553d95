"""Task formats: how rows become samples, and which of their tokens are in the loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mftkit

if TYPE_CHECKING:
    from mftkit import Register


@mftkit.hookimpl
def register_task_formats(register: Register) -> None:
    """Register the formats for conversations, for raw texts, and for filling in the middle."""
    here = "mftkit_plugins.task_formats"
    register(
        "chat",
        f"{here}.chat:Chat",
        summary="conversations in the model's chat format; the answers are in the loss",
        default=True,
    )
    register("text", f"{here}.text:Text", summary="raw texts; every token is in the loss")
    register(
        "fim",
        f"{here}.fim.format:FillInTheMiddle",
        summary="texts with a middle moved to their end, so that the model learns to fill it in",
    )
