"""Phi 1 to 4: a head with a bias in 1 and 2, fused projections in 3 and 4."""

from __future__ import annotations

import mftkit
from mftkit_plugins.models.formats import PHI_3
from mftkit_plugins.models.tiny import GROUPED


class Phi(mftkit.NativeAdapter):
    """``PhiForCausalLM`` (1, 1.5, 2) and ``Phi3ForCausalLM`` (3, 3.5, 4)."""

    model_types = ("phi", "phi3")
    instruct_formats = (PHI_3,)
    pad_tokens = ("<|placeholder6|>", "<|dummy_85|>")
    families = (
        mftkit.Family("Phi 1, 1.5, 2", {"model_type": "phi", **GROUPED}, "PhiForCausalLM"),
        mftkit.Family("Phi 3, 3.5, 4", {"model_type": "phi3", **GROUPED}, "Phi3ForCausalLM"),
    )
