"""The built-in chat models, which generators and filters use."""

from __future__ import annotations

import mftkit


@mftkit.hookimpl
def register_chat_models(register: mftkit.Register) -> None:
    """Register each chat model by import string; neither imports its libraries before the first request."""
    register(
        "openai",
        "mftkit_plugins.chat_models.server:Server",
        summary="any server with the OpenAI API: OpenAI itself, vLLM, llama.cpp, transformers serve",
    )
    register(
        "local",
        "mftkit_plugins.chat_models.local:Local",
        summary="a model loaded in this process, for machines without a server",
    )
