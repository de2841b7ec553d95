"""The interface of a balancer: from the history of task losses to task weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mftkit.interfaces.attribute_docs import documented
from mftkit.interfaces.component import Component, OptionsT, required
from mftkit.interfaces.deprecation import RenamedAttribute

if TYPE_CHECKING:
    from torch import Tensor


@documented
class Balancer(Component[OptionsT]):
    """Weighs the tasks; composes with any loss (MFTCoder, Eq. 4: sum over i of w_i times L_i).

    In each step core asks, in this order: the losses of the held validation mini-batch where they are due,
    ``prepare`` where ``needs_step_losses``, ``weights``, the update, ``observe``, ``compare`` where ``compares``. What
    a balancer does not ask for is not computed. Losses are [tasks] float64, by the run's loss, over the
    global batch; NaN where a task is absent.
    """

    needs_validation: int = 0
    """Every how many steps it wants the losses of a validation mini-batch; 0: never."""
    validation_samples: int = 8
    """Samples of each task in such a mini-batch."""
    minibatch_reuse: int = 1
    """For how many takes one mini-batch is kept before the next samples come; 0: for the whole run."""
    needs_step_losses: bool = False
    """Whether it wants the step's own training losses before its weights: free without accumulation, else one
    more forward pass over the step's micro-batches."""
    compares: Literal["validation", "training"] | None = None
    """Whose losses it wants before and after an update. "validation": those of one held mini-batch from take to
    take, which needs ``needs_validation`` and costs (1 + 1 / ``minibatch_reuse``) passes over it a take. "training":
    those of the step's own batch, with the same dropout masks: one more forward pass over it."""
    reads_task_weights: ClassVar[bool] = False
    """Whether it reads ``tasks[].weight``; a spec that sets one for a balancer that does not is refused."""

    hold = RenamedAttribute("minibatch_reuse")
    prepares = RenamedAttribute("needs_step_losses")

    neutral: ClassVar[bool] = False
    """Promise: all tasks weigh the same at every step, whatever its options; what ``mft compare`` takes for
    its baselines."""

    def prepare(self, step: int, train: Tensor, valid: Tensor | None) -> None:
        """Before the weights of ``step``; ``valid`` None where the held losses are not those of this moment."""

    @required
    def weights(self) -> Tensor:
        """[tasks], finite and not negative. Core divides them by their mean over all tasks."""
        raise NotImplementedError

    def observe(self, step: int, train: Tensor, valid: Tensor | None) -> None:
        """After each step; ``train`` are the losses before its update, ``valid`` None where none was taken."""

    def compare(self, step: int, before: Tensor, after: Tensor) -> None:
        """After ``observe``: losses of the same samples before and after an update.

        With ``compares`` "validation" this comes at every take, and ``before`` is as old as the take before.
        """

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs; what ``torch.load(weights_only=True)`` reads."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
