"""Tiny checkpoints in the layouts that older families publish, each with outputs of the original code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CHECKPOINTS = Path(__file__).parent.parent / "fixtures" / "checkpoints"
FAMILIES = {
    "chatglm2": "GlmForCausalLM",
    "chatglm3": "GlmForCausalLM",
    "codegeex2": "GlmForCausalLM",
    "qwen1": "Qwen2ForCausalLM",
    "baichuan-7b": "LlamaForCausalLM",
    "baichuan2-7b": "LlamaForCausalLM",
    "baichuan2-13b": "LlamaForCausalLM",
    "aquila2": "LlamaForCausalLM",
}
"""Directory, and the class that it is converted to."""
WITH_TOKENIZER = [name for name in FAMILIES if (CHECKPOINTS / name / "tokenizer_config.json").is_file()]


def read(name: str, file: str) -> Any:
    """A JSON file of a checkpoint."""
    return json.loads((CHECKPOINTS / name / file).read_text(encoding="utf-8"))
