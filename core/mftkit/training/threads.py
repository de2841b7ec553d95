"""The threads of a run on the CPU."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from mftkit.base.threads import SMALL, fitting_threads, usable_cores

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mftkit.reporting.reporter import Reporter
    from mftkit.training.run_parts import CheckedRun


@contextmanager
def threads_of(checked: CheckedRun, reporter: Reporter) -> Iterator[None]:
    """While entered, torch has as many threads as fit the run's work, unless the user has set them.

    environment.json has their number, and a run that resumes with another one reports it.
    """
    present = torch.get_num_threads()
    fitting = fitting_threads(present, _size(checked)) if checked.processes.device.type == "cpu" else None
    if fitting is None or fitting == present:
        yield
        return
    why = (
        "the micro-batches are small" if 0 < _size(checked) < SMALL else f"{usable_cores()} cores are usable"
    )
    reporter.note(f"threads: {fitting}, because {why}; OMP_NUM_THREADS sets another number")
    torch.set_num_threads(fitting)
    try:
        yield
    finally:
        torch.set_num_threads(present)


def _size(checked: CheckedRun) -> int:
    """Numbers of one activation; 0 where the model does not say how wide it is."""
    hidden = checked.model_config.get("hidden_size") or checked.model_config.get("n_embd") or 0
    positions = checked.spec.training.micro_batch_size * checked.spec.max_length
    return int(hidden) * positions if isinstance(hidden, int) else 0
