"""AdamW with a state that may leave the GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import mftkit
from mftkit_plugins.optimizers.adam_options import AdamOptions
from mftkit_plugins.optimizers.bitsandbytes_adamw import BitsandbytesAdamW

if TYPE_CHECKING:
    import torch


class PagedOptions(AdamOptions):
    """Options of paged AdamW."""

    bits: Literal[8, 32] = 32
    """Bits of each number of the state; that of embeddings and small parameters has 32 in any case."""


class PagedAdamW(BitsandbytesAdamW[PagedOptions]):
    """AdamW of bitsandbytes in unified memory (arXiv 2305.14314, section 3): the driver moves pages of the state to the
    host's memory when the GPU's is full, and back for the update.
    """

    Options = PagedOptions
    paged = True

    def __init__(self, options: PagedOptions, tasks: tuple[mftkit.TaskInfo, ...] = ()) -> None:
        super().__init__(options, tasks)
        self.bits = options.bits

    def check(self, device: torch.device) -> None:
        """Raise MftError on devices that are no NVIDIA GPU."""
        if device.type != "cuda":
            raise mftkit.MftError(
                f"training.optimizer: this run trains on the device {device.type}, and paged-adamw needs a GPU with "
                'unified memory (cuda). Use "adamw", or "adamw-8bit" for a smaller state.'
            )
