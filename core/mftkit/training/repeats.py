"""What mixing makes of the tasks, told before training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from mftkit.data.corpus import Corpus
    from mftkit.interfaces.tokenization import Layout
    from mftkit.reporting.reporter import Reporter
    from mftkit.spec import MixingSpec


def told_mixing(mixing: MixingSpec, corpus: Corpus) -> str:
    """How an epoch is mixed, what it repeats, and what it leaves out."""
    sizes = np.bincount(corpus.train.task, minlength=len(corpus.tasks)).tolist()
    way = "given proportions" if mixing.temperature is None else f"temperature {mixing.temperature:g}"
    drawn = sum(task.samples for task in corpus.tasks)
    told = [f"{way}, by {mixing.by}: an epoch draws {drawn:,} samples, of {sum(sizes):,}"]
    pairs = list(zip(corpus.tasks, sizes, strict=True))
    repeated = [f"{task.name} {task.samples / size:.2f} times" for task, size in pairs if task.samples > size]
    if repeated:
        told.append(f"each sample comes on average: {', '.join(repeated)}")
    left = [
        f"{size - task.samples:,} of {size:,} of {task.name}"
        for task, size in pairs
        if 0 < task.samples < size
    ]
    if left:
        told.append(f"left out of an epoch, others in each: {', '.join(left)}")
    untrained = [task.name for task in corpus.tasks if not task.samples]
    if untrained:
        told.append(f"not trained: {', '.join(untrained)}")
    return "; ".join(told)


def tell_repeats(layout: Layout, apart: Callable[[], bool], reporter: Reporter) -> None:
    """Warn where a row holds a sample twice and its samples are not kept ``apart``."""
    repeats = rows_with_repeats(layout)
    if repeats and not apart():
        reporter.warn(
            f"mixing: {repeats} rows of the first epoch hold a sample twice, and tokenization lets the later one see "
            "the earlier one's answer; isolate samples, or mix with less repetition"
        )


def rows_with_repeats(layout: Layout) -> int:
    """Rows that hold a sample more than once."""
    row = np.repeat(np.arange(len(layout.offsets) - 1), np.diff(layout.offsets))
    both = np.stack([row, layout.samples])
    distinct = np.bincount(np.unique(both, axis=1)[0], minlength=len(layout.offsets) - 1)
    return int((distinct < np.diff(layout.offsets)).sum())
