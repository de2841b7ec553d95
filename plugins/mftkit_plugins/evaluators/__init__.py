"""The built-in evaluators: what a model can do, by its answers or its losses."""

from __future__ import annotations

import mftkit


@mftkit.hookimpl
def register_evaluators(register: mftkit.Register) -> None:
    """Register each evaluator by import string."""
    register(
        "exact-match",
        "mftkit_plugins.evaluators.exact_match:ExactMatch",
        summary="share of the answers that are the reference",
    )
    register(
        "edit-similarity",
        "mftkit_plugins.evaluators.edit_similarity:EditSimilarity",
        summary="1 - edit distance to the reference / length, as CodeXGLUE has it",
    )
    register(
        "loss",
        "mftkit_plugins.evaluators.loss:Loss",
        summary="cross-entropy in nats per loss token, and perplexity, on any data",
    )
