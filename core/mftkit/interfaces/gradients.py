"""The interface of a gradient combiner: from one gradient a task to the one that the optimizer gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mftkit.interfaces.component import Component, OptionsT, required

if TYPE_CHECKING:
    from torch import Tensor


class GradientCombiner(Component[OptionsT]):
    """Makes one gradient of the tasks' own, in place of their sum; composes with any loss and any balancer.

    Core has each forward pass hold one task (``training.grouping`` "task"), so that the tasks' gradients cost no
    more backward passes over a row than their sum does, but memory for [tasks, P] numbers. What is combined is clipped.
    """

    @required
    def combine(self, gradients: Tensor, weights: Tensor) -> Tensor:
        """The gradient [P] of a step.

        Called once a step, in one process. It leaves its arguments as they are, and draws from no random state
        but its own.

        Args:
            gradients: [tasks, P], of the trained parameters' dtype and on their device, finite. Row i is the
                gradient of w_i * share_i * L_i over the global batch, so that the rows' sum is the gradient that a
                run without a combiner has. It may be kept no longer than the call.
            weights: [tasks] float64 on the CPU, the balancer's w_i. They are in the rows already. 0 marks a task
                that is absent from the step or has stopped: its row is zero, and it should have no say.

        Returns:
            [P], same dtype and device.
        """
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs; what ``torch.load(weights_only=True)`` reads."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
