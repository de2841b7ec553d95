"""When a checkpoint is due: by steps, by epochs, or by the time since the last one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal, cast

from mftkit.spec.intervals import time_in_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from mftkit.batches.sampler import GlobalBatch


class CheckpointTiming:
    """The intervals of ``training.checkpoint_every``; the one that ends first decides.

    Steps are counted from the start of the run, so a resumed run saves at the same steps. The time is counted from the
    last checkpoint, whatever the reason for it, or from the start of the training in this session.
    """

    def __init__(
        self, every: int | str | list[int | str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        intervals = every if isinstance(every, list) else [every]
        seconds = [time_in_seconds(each) for each in intervals]
        self._seconds = min((each for each in seconds if each is not None), default=None)
        self._steps = [each for each, time in zip(intervals, seconds, strict=True) if time is None]
        self._clock = clock
        self._since = clock()

    def restart(self) -> None:
        """A checkpoint is complete, or the training starts."""
        self._since = self._clock()

    def is_due_after(self, batch: GlobalBatch) -> bool:
        """Return True if steps or epochs make one due: the same in every process."""
        return any(batch.is_due(cast("int | Literal['epoch']", every)) for every in self._steps)

    def is_time(self) -> bool:
        """Return True if the time makes one due, by this process's clock: the processes have to agree on it."""
        return self._seconds is not None and self._clock() - self._since >= self._seconds
