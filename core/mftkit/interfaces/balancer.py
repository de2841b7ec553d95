"""The interface of a balancer: from the history of task losses to task weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mftkit.interfaces.attribute_docs import documented
from mftkit.interfaces.component import Component, OptionsT, required
from mftkit.interfaces.deprecation import RenamedAttribute

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


@documented
class Balancer(Component[OptionsT]):
    """Weighs the tasks; composes with any loss (MFTCoder, Eq. 4: sum over i of w_i times L_i).

    In each step core does the following, in this order: it evaluates the validation mini-batch if that is due, calls
    ``prepare`` if ``needs_step_losses``, ``weights``, updates the model, and calls ``observe``, and ``compare`` if
    ``compares``. Losses that a balancer does not ask for are not computed. Losses are [tasks] float64, by the run's
    loss, over the global batch; NaN if a task is absent.
    """

    needs_validation: int = 0
    """Optimizer steps between two evaluations of a validation mini-batch; 0: none."""
    validation_samples: int = 8
    """Samples per task in a validation mini-batch."""
    minibatch_reuse: int = 1
    """How many evaluations use the same validation mini-batch; 0: the whole run uses one."""
    needs_step_losses: bool = False
    """Whether ``prepare`` gets the step's own training losses before its weights: free without accumulation, else one
    more forward pass over the step's micro-batches."""
    compares: Literal["validation", "training"] | None = None
    """The losses that ``compare`` gets from before and after an update. "validation": those of one validation
    mini-batch, at two successive evaluations; needs ``needs_validation``, and costs 1 + 1 / ``minibatch_reuse`` forward
    passes over it per evaluation. "training": those of the step's own batch, with the same dropout masks: one more
    forward pass over it."""
    reads_task_weights: ClassVar[bool] = False
    """Whether it reads ``tasks[].weight``; for a balancer that does not, a spec that sets one is rejected."""

    hold = RenamedAttribute("minibatch_reuse")
    prepares = RenamedAttribute("needs_step_losses")

    neutral: ClassVar[bool] = False
    """True: all tasks weigh the same at every step, whatever its options; ``mft compare`` uses such a balancer for
    its baselines."""

    def prepare(self, step: int, train: Tensor, valid: Tensor | None) -> None:
        """Called before the weights of ``step``; ``valid`` is None if the known validation losses are not current."""

    @required
    def weights(self) -> Tensor:
        """[tasks], finite and not negative. Core divides them by their mean over all tasks."""
        raise NotImplementedError

    def observe(self, step: int, train: Tensor, valid: Tensor | None) -> None:
        """Called after each step; ``train`` is from before its update, ``valid`` None without an evaluation."""

    def compare(self, step: int, before: Tensor, after: Tensor) -> None:
        """Called after ``observe``: losses of the same samples before and after an update.

        With ``compares`` "validation" it is called at each evaluation, and ``before`` is from the one before.
        """

    def metrics(self) -> Mapping[str, float]:
        """What it wants to be seen of its state, as numbers by name; called after a step that writes a train line.

        They are in the line under "balancer", in trackers as "train/balancer/NAME" and on the run's page. A number that
        is not finite is null there. It must not change the balancer.
        """
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed run needs, in types that ``torch.load(weights_only=True)`` reads."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
