"""GPT-NeoX, the architecture of Pythia and CodeFuse-13B, too."""

from __future__ import annotations

import mftkit
from mftkit_plugins.models.formats import CODEFUSE
from mftkit_plugins.models.tiny import ATTENTION


class GPTNeoX(mftkit.NativeAdapter):
    """``GPTNeoXForCausalLM``."""

    model_types = ("gpt_neox",)
    instruct_formats = (CODEFUSE,)
    pad_tokens = ("<|padding|>", "<|pad|>")
    families = (
        mftkit.Family(
            "GPT-NeoX, Pythia, CodeFuse-13B", {"model_type": "gpt_neox", **ATTENTION}, "GPTNeoXForCausalLM"
        ),
    )
