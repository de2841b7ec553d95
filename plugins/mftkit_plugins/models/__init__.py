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
    register("mistral", f"{here}.mistral:Mistral", summary="Mistral")
    register("mixtral", f"{here}.mixtral:Mixtral", summary="Mixtral, with its router's loss")
    register(
        "qwen",
        f"{here}.qwen:Qwen",
        summary="Qwen 2, 2.5 and 3, with and without experts, the coder models too; Qwen 1 converted",
    )
    register("starcoder", f"{here}.starcoder:StarCoder", summary="StarCoder (GPTBigCode) and StarCoder 2")
    register("deepseek", f"{here}.deepseek:DeepSeek", summary="DeepSeek-V2 and V3, Coder-V2 among them")
    register("gpt-neox", f"{here}.gpt_neox:GPTNeoX", summary="GPT-NeoX, Pythia, CodeFuse-13B")
    register("phi", f"{here}.phi:Phi", summary="Phi 1 to 4")
    register("gemma", f"{here}.gemma:Gemma", summary="Gemma 1 to 3, of text alone")
    register("glm", f"{here}.glm:GLM", summary="GLM-4")
    register("chatglm", f"{here}.chatglm:ChatGlm", summary="ChatGLM2, ChatGLM3 and CodeGeeX2, converted")
    register("baichuan", f"{here}.baichuan:Baichuan", summary="Baichuan 1 and 2, converted; 13B with ALiBi")
    register("aquila", f"{here}.aquila:Aquila", summary="Aquila 2, converted")
    register(
        "huggingface",
        f"{here}.huggingface:HuggingFace",
        summary="any other causal language model of transformers (the fallback)",
    )
