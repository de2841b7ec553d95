"""The interface of a mixer: each task's share of the training samples, for the whole run or as it proceeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from mftkit.interfaces.attribute_docs import documented
from mftkit.interfaces.component import Component, OptionsT, required

if TYPE_CHECKING:
    from collections.abc import Sequence


@documented
class Mixer(Component[OptionsT]):
    """Decides how many samples of each task are drawn (``mixing.mixer`` in a spec).

    ``self.tasks`` have the samples and loss tokens of all training data, before any mixing.

    A mixer that does not change is asked once, and the samples of a step depend on the seed and the step alone. For one
    that ``changes``, the steps of a run form intervals of ``interval`` steps: core asks for ``shares`` before each,
    draws the interval's samples by them, and calls ``observe`` after its last step. What was drawn is in the
    checkpoint, so that a resumed run trains on the same samples.
    """

    changes: ClassVar[bool] = False
    """Whether the shares may change during a run, whatever the options."""
    interval: int = 0
    """Optimizer steps in an interval; read only of a mixer that ``changes``, which needs at least 1."""
    validation_samples: int = 0
    """Samples per task in the validation mini-batch that is evaluated before and after each interval; 0: none."""

    @required
    def shares(self) -> Sequence[float]:
        """[tasks] shares of the samples: finite, not negative, not all 0; only their ratios matter.

        A task with 0 is not trained. It must not change the mixer: core may ask twice.
        """
        raise NotImplementedError

    def observe(self, step: int, before: Sequence[float] | None, after: Sequence[float] | None) -> None:
        """Called after the last step of each interval of a mixer that ``changes``, in every process.

        Args:
            step: that step.
            before: [tasks] losses of a validation mini-batch before the interval, by the run's loss; NaN for a task
                without loss tokens in it. None if ``validation_samples`` is 0.
            after: [tasks] losses of the same mini-batch after the interval.
        """

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed run needs, in types that ``torch.load(weights_only=True)`` reads."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
