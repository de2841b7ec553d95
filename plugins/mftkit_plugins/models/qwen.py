"""Qwen 2, 2.5 and 3."""

from __future__ import annotations

import mftkit


class Qwen(mftkit.NativeAdapter):
    """``Qwen2ForCausalLM`` (2 and 2.5) and ``Qwen3ForCausalLM``."""

    model_types = ("qwen2", "qwen3")
