"""GPT-2 for mftkit; registered by an import string, so that listing plugins imports no torch."""

import mftkit


@mftkit.hookimpl
def register_model_adapters(register):
    """Called by mftkit when it starts."""
    register("gpt2", "mft_gpt2.adapter:GPT2Adapter", summary="GPT-2 and models of its architecture")
