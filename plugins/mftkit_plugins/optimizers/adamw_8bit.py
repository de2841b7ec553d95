"""AdamW with a state of 8 bits."""

from __future__ import annotations

from mftkit_plugins.optimizers.adam_options import AdamOptions
from mftkit_plugins.optimizers.bitsandbytes_adamw import BitsandbytesAdamW


class AdamW8bit(BitsandbytesAdamW[AdamOptions]):
    """AdamW of bitsandbytes with averages in 8 bits, those of embeddings and small parameters in 32."""

    Options = AdamOptions
    bits = 8
