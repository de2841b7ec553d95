"""Defaults that were others in earlier versions: a run that was started with one keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mftkit.base.json_types import JsonObject
    from mftkit.spec import Spec

LEARNING_RATE = 1e-4
"""The default of ``training.learning_rate`` before it followed the tuning."""


def with_earlier_defaults(spec: Spec, before: JsonObject | None) -> tuple[Spec, str]:
    """The spec with the learning rate of the run with the spec ``before``, where both leave it to the default.

    Also returns a sentence about it; "" if nothing is changed.
    """
    started = ((before or {}).get("training") or {}).get("learning_rate")
    training = spec.training
    is_left_out = "learning_rate" not in training.model_fields_set
    if not is_left_out or started != LEARNING_RATE or training.learning_rate == LEARNING_RATE:
        return spec, ""
    kept = training.model_copy(update={"learning_rate": LEARNING_RATE})
    note = (
        f"training.learning_rate: the run keeps {LEARNING_RATE:g}, the default with which it was started "
        f"(now {training.learning_rate:g})"
    )
    return spec.model_copy(update={"training": kept}), note
