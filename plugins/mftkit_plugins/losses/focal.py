"""Base of the focal losses: their options, and (1 - P)^gamma."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

import mftkit

if TYPE_CHECKING:
    from torch import Tensor

Factor = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class FocalOptions(mftkit.Options):
    """Options of a focal loss."""

    gamma: Factor = 2.0
    """Exponent of (1 - P): larger values give easy samples or tasks less weight; 0 makes no difference."""
    alpha: Factor | dict[str, Factor] = 1.0
    """A factor for all tasks, or a factor per task by name (1 for tasks that are not named)."""


class FocalLoss(mftkit.Loss):
    """Weights by the probability that the model does not yet give, (1 - P)^gamma, differentiated through P too."""

    Options = FocalOptions
    options: FocalOptions

    def __init__(self, options: FocalOptions, tasks: tuple[mftkit.TaskInfo, ...] = ()) -> None:
        """Raise MftError for the ``alpha`` of an unknown task."""
        super().__init__(options, tasks)
        names = [task.name for task in tasks]
        alpha = options.alpha
        if isinstance(alpha, dict):
            unknown = [name for name in alpha if name not in names]
            if unknown:
                raise mftkit.MftError(
                    f"loss.options.alpha: no task is named {', '.join(map(repr, unknown))}; "
                    f"the tasks are {', '.join(map(repr, names))}."
                )
            self._factors = [alpha.get(name, 1.0) for name in names]
        else:
            self._factors = [alpha]  # broadcast over the tasks

    @cached_property
    def _alpha(self) -> Tensor:
        """Made when it is first read, because a spec is checked without torch."""
        import torch

        return torch.tensor(self._factors, dtype=torch.float64)

    def alpha(self, like: Tensor) -> Tensor:
        """Return [tasks] or [1], on the device of ``like``; copied there once, so that no step waits for it."""
        if self._alpha.device != like.device or self._alpha.dtype != like.dtype:
            self._alpha = self._alpha.to(like)
        return self._alpha

    def focus(self, missing: Tensor) -> Tensor:
        """Return (1 - P)^gamma for ``missing`` = 1 - P."""
        import torch

        # At 0 the slope of x^gamma is infinite for gamma < 1, and a NaN would reach the weights.
        smallest = torch.finfo(missing.dtype).tiny
        return missing.clamp(min=smallest) ** self.options.gamma
