"""The options that the variants of AdamW share."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

import mftkit

Beta = Annotated[float, Field(ge=0, lt=1)]


class AdamOptions(mftkit.Options):
    """Options of AdamW."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay per step of the moving averages of gradients and of their squares."""
    eps: float = Field(default=1e-8, gt=0)
    """Added to the root of the second average."""
