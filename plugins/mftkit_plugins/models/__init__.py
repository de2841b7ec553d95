"""Model adapters: one small file per family, and the fallback for all others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mftkit

if TYPE_CHECKING:
    from mftkit import Register


@mftkit.hookimpl
def register_model_adapters(register: Register) -> None:
    """Register an adapter per family, and the fallback."""
    here = "mftkit_plugins.models"
    register(
        "llama",
        f"{here}.llama:Llama",
        summary="Llama 1 to 3, CodeLlama, DeepSeek-Coder 1, IQuest-Coder, CWM and others of the same architecture",
    )
    register("mistral", f"{here}.mistral:Mistral", summary="Mistral, Ministral 3")
    register("mixtral", f"{here}.mixtral:Mixtral", summary="Mixtral, with the loss of its router")
    register(
        "qwen",
        f"{here}.qwen:Qwen",
        summary="Qwen 2 to 3.5, with and without experts, including the Coder models; Qwen 1, converted",
    )
    register("starcoder", f"{here}.starcoder:StarCoder", summary="StarCoder (GPTBigCode) and StarCoder 2")
    register("deepseek", f"{here}.deepseek:DeepSeek", summary="DeepSeek-V2 (including Coder-V2) and V3")
    register("deepseek-v4", f"{here}.deepseek_v4:DeepSeekV4", summary="DeepSeek-V4")
    register("gpt-neox", f"{here}.gpt_neox:GPTNeoX", summary="GPT-NeoX, Pythia, CodeFuse-13B")
    register("phi", f"{here}.phi:Phi", summary="Phi 1 to 4")
    register("gemma", f"{here}.gemma:Gemma", summary="Gemma 1 to 4, on text")
    register("glm", f"{here}.glm:GLM", summary="GLM-4 to 4.7, with and without experts")
    register("granite", f"{here}.granite:Granite", summary="Granite 3 and 4, with and without experts")
    register("gpt-oss", f"{here}.gpt_oss:GptOss", summary="gpt-oss")
    register("seed-oss", f"{here}.seed_oss:SeedOss", summary="Seed-OSS")
    register("mellum", f"{here}.mellum:Mellum", summary="Mellum, with experts")
    register("laguna", f"{here}.laguna:Laguna", summary="Laguna")
    register("nemotron", f"{here}.nemotron:Nemotron", summary="Nemotron-H and Nemotron 3")
    register("kimi", f"{here}.kimi:Kimi", summary="Kimi Linear")
    register("chatglm", f"{here}.chatglm:ChatGlm", summary="ChatGLM2, ChatGLM3 and CodeGeeX2, converted")
    register("baichuan", f"{here}.baichuan:Baichuan", summary="Baichuan 1 and 2, converted; 13B with ALiBi")
    register("aquila", f"{here}.aquila:Aquila", summary="Aquila 2, converted")
    register(
        "huggingface",
        f"{here}.huggingface:HuggingFace",
        summary="any other causal language model of transformers (the fallback)",
    )
