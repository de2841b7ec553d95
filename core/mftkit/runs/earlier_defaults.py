"""Defaults that were others in earlier versions: a run that was started with one keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.interfaces.references import ComponentRef

if TYPE_CHECKING:
    from mftkit.base.json_types import JsonObject
    from mftkit.spec import Spec

LEARNING_RATE = 1e-4
"""The default of ``training.learning_rate`` before it followed the tuning."""
TOKENIZATION = ComponentRef(name="pack", options={"attention": "isolated", "scope": "mixed"})
"""The default of ``tokenization`` before it followed the model."""


def with_earlier_defaults(spec: Spec, before: JsonObject | None) -> tuple[Spec, list[str]]:
    """The spec with the earlier defaults of the run with the spec ``before``, where both leave keys to the default.

    Also returns a sentence about each key that is changed.
    """
    notes = []
    started = ((before or {}).get("training") or {}).get("learning_rate")
    training = spec.training
    is_left_out = "learning_rate" not in training.model_fields_set
    if is_left_out and started == LEARNING_RATE and training.learning_rate != LEARNING_RATE:
        notes.append(
            f"training.learning_rate: the run keeps {LEARNING_RATE:g}, the default with which it was started "
            f"(now {training.learning_rate:g})"
        )
        kept = training.model_copy(update={"learning_rate": LEARNING_RATE})
        spec = spec.model_copy(update={"training": kept})
    rows = (before or {}).get("tokenization")
    if (
        "tokenization" not in spec.model_fields_set
        and rows == TOKENIZATION.model_dump() != spec.tokenization.model_dump()
    ):
        notes.append(
            f"tokenization: the run keeps {TOKENIZATION.name}, the default with which it was started (now "
            f"{spec.tokenization.name})"
        )
        spec = spec.model_copy(update={"tokenization": TOKENIZATION})
    return spec, notes
