"""GLM-4, which is part of transformers; ChatGLM came with its own code (chatglm.py)."""

from __future__ import annotations

import mftkit
from mftkit_plugins.models.formats import GLM_4
from mftkit_plugins.models.tiny import GROUPED

_HEADS = {**GROUPED, "head_dim": 16}


class GLM(mftkit.NativeAdapter):
    """``GlmForCausalLM`` (GLM-4-9B) and ``Glm4ForCausalLM`` (GLM-4-0414, Z1)."""

    model_types = ("glm", "glm4")
    instruct_formats = (GLM_4,)
    pad_tokens = ("<|endoftext|>",)
    families = (
        mftkit.Family("GLM-4-9B", {"model_type": "glm", **_HEADS}, "GlmForCausalLM"),
        mftkit.Family("GLM-4-0414, GLM-Z1", {"model_type": "glm4", **_HEADS}, "Glm4ForCausalLM"),
    )
