"""The effects of mixing on an epoch: a sentence for the plan, and a warning about samples repeated in one row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from mftkit.data.corpus import Corpus
    from mftkit.interfaces.tokenization import Layout
    from mftkit.reporting.reporter import Reporter
    from mftkit.spec import MixingSpec


def describe_mixing(mixing: MixingSpec, corpus: Corpus) -> str:
    """How an epoch is mixed, what it repeats, and what it leaves out."""
    sizes = np.bincount(corpus.train.task, minlength=len(corpus.tasks)).tolist()
    drawn = sum(task.samples for task in corpus.tasks)
    clauses = [f"{_method(mixing)}: an epoch draws {drawn:,} samples out of {sum(sizes):,}"]
    if (mixer := corpus.mixer) is not None and mixer.changes:
        clauses = [
            f"{_method(mixing)}: shares change during the run, every {mixer.interval} steps; an epoch at the first "
            f"shares draws {drawn:,} samples out of {sum(sizes):,}"
        ]
    pairs = list(zip(corpus.tasks, sizes, strict=True))
    repeated = [f"{task.name} {task.samples / size:.2f} times" for task, size in pairs if task.samples > size]
    if repeated:
        clauses.append(f"average uses of each sample per epoch: {', '.join(repeated)}")
    left_out = [
        f"{size - task.samples:,} of {size:,} of {task.name}"
        for task, size in pairs
        if 0 < task.samples < size
    ]
    if left_out:
        clauses.append(f"left out of each epoch, in turn: {', '.join(left_out)}")
    untrained = [task.name for task in corpus.tasks if not task.samples]
    if untrained:
        clauses.append(f"not trained: {', '.join(untrained)}")
    return "; ".join(clauses)


def _method(mixing: MixingSpec) -> str:
    if mixing.mixer is not None:
        return f"mixer {mixing.mixer.name}"
    method = "given proportions" if mixing.temperature is None else f"temperature {mixing.temperature:g}"
    return f"{method}, by {mixing.by}"


def warn_repeated_samples(layout: Layout, isolates: Callable[[], bool], reporter: Reporter) -> None:
    """Warn if rows of a layout hold a sample twice and the tokenization mode does not isolate samples."""
    repeats = rows_with_repeats(layout)
    if repeats and not isolates():
        reporter.warn(
            f"mixing: {repeats} rows of the first epoch hold a sample twice, and with this tokenization the later copy "
            "sees the answer of the earlier one. Isolate samples, or mix with less repetition."
        )


def rows_with_repeats(layout: Layout) -> int:
    """How many rows hold a sample more than once."""
    row = np.repeat(np.arange(len(layout.offsets) - 1), np.diff(layout.offsets))
    both = np.stack([row, layout.samples])
    distinct = np.bincount(np.unique(both, axis=1)[0], minlength=len(layout.offsets) - 1)
    return int((distinct < np.diff(layout.offsets)).sum())
