"""The interface of a data generator: rows of one task, made on the spot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from mftkit.interfaces.component import Component

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@dataclass(frozen=True)
class GenerationContext:
    """What a generator is given."""

    seed: int
    """The run's seed: the same seed and options give the same rows."""
    task: str
    """Name of the task that the rows are for."""
    directory: Path
    """A directory of the generator's own, for this task and these options; it survives a kill."""
    report: Callable[..., None]
    """``report(kept=1, dropped=2)``: adds to counts that the user is shown."""


class DataGenerator(Component):
    """Makes the rows of a task."""

    version: str = "1"
    """Raise it when the rows for given options change: rows made before are then made anew."""
    reads_seed: ClassVar[bool] = False
    """Promise: another seed gives other rows. Tried by the conformance suite."""

    def rows(self, context: GenerationContext) -> Iterator[dict[str, Any]]:
        """Rows as a data file has them: ``chat_rounds``, ``messages``, ``text``, ... (see the data docs)."""
        raise NotImplementedError
