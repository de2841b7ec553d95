"""Adafactor (arXiv 1804.04235), as transformers has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

import mftkit
from mftkit_plugins.optimizers.adam_options import Beta  # noqa: TC001 - pydantic reads the annotations

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch


class AdafactorOptions(mftkit.Options):
    """Options of Adafactor."""

    clip_threshold: float = Field(default=1.0, gt=0)
    """The largest root mean square of an update, before the learning rate."""
    decay_rate: float = Field(default=-0.8, lt=0)
    """The second averages forget with 1 - step ** decay_rate."""
    momentum: Beta | None = None
    """Decay per step of a moving average of updates, which takes 4 bytes per parameter; null: none."""
    relative: bool = False
    """Whether the learning rate is a share of each parameter's own size (root mean square), as in the paper."""


class Adafactor(mftkit.Optimizer):
    """Second averages of the rows and columns of a matrix, whose product stands for those of its numbers.

    The learning rate is that of the spec at each step, and not Adafactor's own schedule. An update is about as large as
    one of AdamW, so that its learning rates can be used.
    """

    Options = AdafactorOptions
    options: AdafactorOptions

    def build(self, groups: Sequence[mftkit.ParameterGroup]) -> torch.optim.Optimizer:
        """Return transformers' Adafactor without its own schedule."""
        from transformers.optimization import Adafactor as OfTransformers

        options = self.options
        make: Any = OfTransformers
        optimizer: torch.optim.Optimizer = make(
            [group.as_torch() for group in groups],
            lr=groups[0].learning_rate,
            clip_threshold=options.clip_threshold,
            decay_rate=options.decay_rate,
            beta1=options.momentum,
            scale_parameter=options.relative,
            relative_step=False,
        )
        return optimizer

    def state_bytes(self, parameter: mftkit.TrainedParameter) -> int:
        """Return the bytes of the averages of rows and columns, or of a vector's numbers, in float32."""
        *outer, last = parameter.tensor.shape or (1,)
        size = parameter.tensor.numel()
        numbers = size if not outer else size // last + size // outer[-1]
        return 4 * (numbers + (size if self.options.momentum is not None else 0))
