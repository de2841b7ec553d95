"""Merge a PEFT adapter into the model that it is attached to."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, cast

from mftkit.base.quiet import without_peft_noise
from mftkit.base.reasons import reason
from mftkit.models.logits_check import sample_logits
from mftkit_registry import MftError

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel

    from mftkit.reporting.reporter import Reporter


def merge_adapter(tuned: nn.Module, reporter: Reporter, key: str = "RUN") -> tuple[PreTrainedModel, Tensor]:
    """Return the merged model, which takes the memory of the base layer by layer, and the logits before merging.

    Args:
        tuned: a base with an adapter attached (peft's ``PeftModel``).
        reporter: receives what peft notes about the merged model.
        key: what names the adapter, for messages.

    Raises:
        MftError: an adapter of this type cannot be merged.
    """
    with without_peft_noise():
        from peft import PeftModel

        if not isinstance(tuned, PeftModel):
            raise MftError(f"{key}: {type(tuned).__name__} is no PEFT adapter, so it cannot be merged")
        kind = str(tuned.active_peft_config.peft_type).removeprefix("PeftType.")
        if not hasattr(tuned.base_model, "merge_and_unload"):
            raise MftError(
                f"{key}: an adapter of type {kind} cannot be merged: it changes no weights of the base"
            )
        try:
            before = sample_logits(cast("PreTrainedModel", tuned))  # peft passes calls on
            with warnings.catch_warnings(record=True) as caught:  # a head that is no longer tied, for one
                warnings.simplefilter("always", UserWarning)
                merged: PreTrainedModel = tuned.merge_and_unload(safe_merge=True)
        except (AttributeError, NotImplementedError, TypeError, ValueError) as error:
            raise MftError(f"{key}: this adapter of type {kind} cannot be merged: {reason(error)}") from error
    for warning in caught:
        reporter.note(str(warning.message))
    return merged, before
