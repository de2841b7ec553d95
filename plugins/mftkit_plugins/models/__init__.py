"""Model adapters: one small file a family, and the fallback for the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mftkit

if TYPE_CHECKING:
    from collections.abc import Callable


@mftkit.hookimpl
def register_model_adapters(register: Callable[..., None]) -> None:
    """Each family, and what serves every other."""
    here = "mftkit_plugins.models"
    register("llama", f"{here}.llama:Llama", summary="Llama 1 to 3, CodeLlama, DeepSeek-Coder and their kin")
    register(
        "qwen",
        f"{here}.qwen:Qwen",
        summary="Qwen 2, 2.5 and 3, the coder models among them; Qwen 1 converted",
    )
    register("chatglm", f"{here}.chatglm:ChatGlm", summary="ChatGLM2, ChatGLM3 and CodeGeeX2, converted")
    register("baichuan", f"{here}.baichuan:Baichuan", summary="Baichuan 1 and 2, converted; 13B with ALiBi")
    register("aquila", f"{here}.aquila:Aquila", summary="Aquila 2, converted")
    register(
        "huggingface",
        f"{here}.huggingface:HuggingFace",
        summary="any other causal language model of transformers (the fallback)",
    )
