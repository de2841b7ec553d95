"""Qwen 1, 2, 2.5 and 3."""

from __future__ import annotations

from mftkit_plugins.models.qwen1 import Qwen1


class Qwen(Qwen1):
    """``Qwen2ForCausalLM`` (2 and 2.5) and ``Qwen3ForCausalLM``; checkpoints of Qwen 1 are converted to the first."""

    model_types = ("qwen2", "qwen3")
