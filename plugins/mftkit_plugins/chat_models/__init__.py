"""Chat models: who answers what generators and filters ask."""

from __future__ import annotations

import mftkit


@mftkit.hookimpl
def register_chat_models(register: mftkit.Register) -> None:
    """Neither imports its libraries before the first request."""
    register(
        "openai",
        "mftkit_plugins.chat_models.server:Server",
        summary="any server of the OpenAI interface: the vendor's, vLLM, llama.cpp, transformers serve",
    )
    register(
        "local",
        "mftkit_plugins.chat_models.local:Local",
        summary="a model loaded by an adapter in this process, for machines without a server",
    )
