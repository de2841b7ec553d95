"""The interface of a schedule: how the learning rate follows the step."""

from __future__ import annotations

from mftkit.interfaces.attribute_docs import documented
from mftkit.interfaces.component import Component, OptionsT, required


@documented
class Schedule(Component[OptionsT]):
    """The shape of the learning rate after the warmup (``training.scheduler`` in a spec).

    Core does the warmup, which rises linearly to the peak, and places the shape between ``training.min_learning_rate``
    and ``training.learning_rate``. It depends on its arguments and options alone, so a resumed run needs no state of
    it, and a run that is made longer or shorter asks for the same shape with another end.
    """

    def check(self, warmup: int, end: int) -> None:
        """Raise MftError if the options do not fit a run with so many steps of warmup, and so many in all."""

    @required
    def share(self, step: int, warmup: int, end: int) -> float:
        """The learning rate of a step: 1 is the peak, 0 the minimum.

        Args:
            step: from ``warmup`` + 1 to ``end``.
            warmup: steps of the warmup; at its last one the learning rate is at its peak.
            end: the last step of the schedule.
        """
        raise NotImplementedError
