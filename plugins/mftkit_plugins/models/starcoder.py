"""StarCoder (1) with multi-query attention and learned positions, and StarCoder 2 with a sliding window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mftkit
from mftkit_plugins.models.formats import STARCHAT
from mftkit_plugins.models.tiny import GROUPED, WINDOW

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from mftkit import DecoderOutputs

_LEARNED = {
    "vocab_size": 128, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 128, "n_inner": 128,
    "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0,
}  # fmt: skip


class StarCoder(mftkit.NativeAdapter):
    """``GPTBigCodeForCausalLM`` and ``Starcoder2ForCausalLM``."""

    model_types = ("gpt_bigcode", "starcoder2")
    instruct_formats = (STARCHAT,)
    families = (
        mftkit.Family(
            "StarCoder, SantaCoder (GPTBigCode)",
            {"model_type": "gpt_bigcode", **_LEARNED},
            "GPTBigCodeForCausalLM",
            note="a sample may have at most `n_positions` tokens, because positions are learned",
        ),
        mftkit.Family(
            "StarCoder 2", {"model_type": "starcoder2", **GROUPED, **WINDOW}, "Starcoder2ForCausalLM"
        ),
    )

    def outputs(self, model: PreTrainedModel, batch: mftkit.Batch) -> DecoderOutputs:
        """Return the decoder's outputs; raise MftError for a sample longer than the number of learned positions."""
        width, most = batch.input_ids.shape[1], getattr(model.config, "n_positions", None)
        if most is not None and width > most:
            positions = batch.position_ids
            if batch.max_seqlen is not None:  # known on the host
                last = batch.max_seqlen - 1
            else:
                last = width - 1 if positions is None else int(positions.max())
            if last >= most:
                raise mftkit.MftError(
                    f"max_length: a sample has {last + 1} tokens, but this model has {most} learned positions; "
                    f"set max_length to at most {most}"
                )
        return super().outputs(model, batch)
