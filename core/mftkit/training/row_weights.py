"""Weights of rows: refused for a loss that does not read them, and told in the plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mftkit.plugins import installed, kinds
from mftkit_registry import MftError

if TYPE_CHECKING:
    from mftkit.data.corpus import Corpus
    from mftkit.interfaces.loss import Loss
    from mftkit.reporting.reporter import Reporter


def check_row_weights(name: str, loss: Loss, corpus: Corpus, reporter: Reporter) -> None:
    """Refuse training rows with weights where the loss ``name`` would ignore them, or where all are 0.

    Raises MftError: naming the loss, the first such row, and the losses that read weights.
    """
    weights = corpus.train.weights
    if weights is None:
        return
    if not loss.reads_sample_weights:
        weighed = np.flatnonzero(weights != 1)
        raise MftError(
            f"loss: {name} does not read the weights of rows, and {len(weighed)} training rows have one (the first: "
            f"{corpus.train.origin(int(weighed[0]))}); choose another loss "
            f"({installed.those_that(kinds.LOSS, 'reads_sample_weights')}), or take the key 'weight' out of the rows."
        )
    if not weights.any():
        raise MftError("tasks: all training rows have weight 0: nothing would be learned; raise one.")
    for index, task in enumerate(corpus.tasks):
        if not weights[corpus.train.task == index].any():
            reporter.warn(f"task {task.name}: all training rows have weight 0: nothing is learned from them")


def told_row_weights(corpus: Corpus) -> str:
    """What the plan says of them; nothing where all are 1."""
    weights = corpus.train.weights
    if weights is None:
        return ""
    told = []
    for index, task in enumerate(corpus.tasks):
        own = weights[corpus.train.task == index]
        if (own != 1).any():
            told.append(
                f"{task.name} {(own != 1).sum():,} of {len(own):,} rows other than 1, mean {own.mean():.4g}"
            )
    return f"the rows' own weights count in the loss: {'; '.join(told)}"
