"""The interface of a gradient combiner: from one gradient per task to the one that the optimizer gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mftkit.interfaces.component import Component, OptionsT, required

if TYPE_CHECKING:
    from torch import Tensor


class GradientCombiner(Component[OptionsT]):
    """Combines the tasks' gradients into one, instead of their sum; works with any loss and any balancer.

    Each forward pass holds one task (``training.grouping`` "task"), so that the tasks' gradients cost no more
    backward passes over a row than their sum does, but memory for [tasks, P] numbers. The result is clipped.
    """

    @required
    def combine(self, gradients: Tensor, weights: Tensor) -> Tensor:
        """The gradient [P] of a step.

        Called once per step, in one process. It does not change its arguments, and uses no random state but its
        own.

        Args:
            gradients: [tasks, P], of the trained parameters' dtype and on their device, finite. Row i is the
                gradient of w_i * share_i * L_i over the global batch, so that the rows' sum is the gradient of a
                run without a combiner. It must not be kept after the call.
            weights: [tasks] float64 on the CPU, the balancer's w_i. The rows include them already. 0 marks a task
                that is absent from the step or has stopped: its row is zero, and it should have no influence.

        Returns:
            [P], same dtype and device.
        """
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed run needs, in types that ``torch.load(weights_only=True)`` reads."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
