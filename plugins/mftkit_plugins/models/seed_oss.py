"""Seed-OSS; Seed-Coder is a Llama."""

from __future__ import annotations

import mftkit
from mftkit_plugins.models.tiny import GROUPED


class SeedOss(mftkit.NativeAdapter):
    """``SeedOssForCausalLM``."""

    model_types = ("seed_oss",)
    pad_tokens = ("<seed:pad>",)
    families = (
        mftkit.Family(
            "Seed-OSS", {"model_type": "seed_oss", **GROUPED, "head_dim": 16}, "SeedOssForCausalLM"
        ),
    )
