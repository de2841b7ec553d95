"""Makes the next step's batch in a thread while the present step is trained, so that no step waits for its data."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    import numpy as np
    from numpy.typing import NDArray

    from mftkit.batches.sampler import BatchSampler, GlobalBatch
    from mftkit.interfaces.tokenization import Batch


@dataclass(frozen=True)
class StepBatch:
    """What one process trains in one step."""

    batch: GlobalBatch
    rows: list[list[NDArray[np.int64]]]
    """The rows of each micro-batch."""
    micro_batches: list[Batch]
    """On the CPU."""


class BatchesAhead:
    """The batches of a run, one step ahead of it.

    A step's batch is a pure function of the data, the seed and its number (``batches/sampler.py``), so it does not
    matter in which thread it is made, nor when. Where it depends on what the step before it brings, it is made only
    when it is asked for, in the thread that asks.
    """

    def __init__(self, sampler: BatchSampler, make: Callable[[GlobalBatch], StepBatch]) -> None:
        """``make`` returns this process's part of a global batch; it may be called in another thread."""
        self._sampler = sampler
        self._make = make
        self._pending: tuple[int, Future[StepBatch]] | None = None
        self._thread: ThreadPoolExecutor | None = None

    def take(self, number: int) -> StepBatch:
        """Return the batch of step ``number``, from 1, and begin with the one after it.

        Raises what went wrong in making it, as if it had been made here.
        """
        pending, self._pending = self._pending, None
        if pending is not None and pending[0] == number:
            made = pending[1].result()
        else:
            _wait(pending)
            made = self._made(number)
        if number < self._sampler.total and self._sampler.knows_step_after(made.batch):
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, "batches ahead")
            self._pending = number + 1, self._thread.submit(self._made, number + 1)
        return made

    def forget(self) -> None:
        """Drop what was made, once the thread is done with it: before the sampler's state changes."""
        pending, self._pending = self._pending, None
        _wait(pending)

    def end(self) -> None:
        """End the thread; another ``take`` starts one again."""
        self.forget()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown()

    def _made(self, number: int) -> StepBatch:
        return self._make(self._sampler[number])


def _wait(pending: tuple[int, Future[StepBatch]] | None) -> None:
    if pending is not None:
        pending[1].exception()
