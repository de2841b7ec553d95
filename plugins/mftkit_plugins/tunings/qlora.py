"""QLoRA (arXiv 2305.14314): LoRA on a frozen base in 4-bit NormalFloat, with bitsandbytes."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from pydantic import model_validator

import mftkit
from mftkit import without_peft_noise
from mftkit_plugins.tunings.lora import Lora, LoraOptions

if TYPE_CHECKING:
    import torch
    from torch import nn

    from mftkit import JsonObject


class QLoraOptions(LoraOptions):
    """The options of LoRA."""

    @model_validator(mode="after")
    def _installed(self) -> QLoraOptions:
        if find_spec("bitsandbytes") is None:
            raise ValueError("requires bitsandbytes, which is not installed: pip install bitsandbytes")
        return self


class QLora(Lora):
    """Trains low-rank adapters in float32 on a base in NF4 with double quantization."""

    Options = QLoraOptions

    def load_options(self, dtype: torch.dtype) -> JsonObject:
        """Return options for 4-bit NF4, with quantized scales, dequantized to ``dtype`` for products."""
        import torch
        from transformers import BitsAndBytesConfig

        if dtype not in (torch.bfloat16, torch.float32):
            raise mftkit.MftError(
                f"model.dtype: 4-bit weights support computation in bfloat16 or float32, not {str(dtype)[6:]}"
            )
        _import_bitsandbytes()
        quantization = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )  # type: ignore[no-untyped-call]
        return {"quantization_config": quantization}

    def notes(self, model: nn.Module) -> list[str]:
        """Return LoRA's notes, and a note on stacked experts, which are not in 4 bits."""
        notes = super().notes(model)
        sizes = {id(p): p.numel() for p in model.parameters() if p.dim() == 3 and not p.requires_grad}
        if sizes:
            dtype = next(p.dtype for p in model.parameters() if p.dim() == 3)
            notes = [
                *notes,
                f"the experts ({sum(sizes.values()):,} parameters) stay in {str(dtype)[6:]}: "
                "bitsandbytes quantizes linear layers only",
            ]
        return notes


def _import_bitsandbytes() -> None:
    """Import it before transformers does, for an error that names it if it is broken."""
    try:
        with without_peft_noise():
            import bitsandbytes  # noqa: F401
    except Exception as error:  # its native libraries fail in many ways
        raise mftkit.MftError(f"tuning: bitsandbytes cannot be imported: {error}") from error
