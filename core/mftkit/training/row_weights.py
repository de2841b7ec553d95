"""Weights of data rows: refused for a loss that does not read them, and described in the plan."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from mftkit.data.streaming import ChunkedSamples
from mftkit.plugins import installed, kinds
from mftkit_registry import MftError

if TYPE_CHECKING:
    from mftkit.data.corpus import Corpus, Samples
    from mftkit.interfaces.loss import Loss
    from mftkit.reporting.reporter import Reporter


def check_row_weights(name: str, loss: Loss, corpus: Corpus, reporter: Reporter) -> None:
    """Refuse weights of training rows if the loss ``name`` would ignore them, or if all of them are 0.

    Of streamed data, the rows of later chunks are checked once they are there. Raises MftError, which names the loss,
    the first such row, and the losses that read weights.
    """
    check = partial(_check_weights_are_read, name, loss)
    if isinstance(corpus.train, ChunkedSamples):
        corpus.train.check = check
    weights = corpus.train.weights
    if weights is None:
        return
    check(corpus.train)
    if not weights.any():
        raise MftError(
            "tasks: all training rows have weight 0, so nothing would be learned. Raise one of them."
        )
    for index, task in enumerate(corpus.tasks):
        if not weights[corpus.train.task == index].any():
            reporter.warn(
                f"task {task.name}: all training rows have weight 0, so nothing is learned from them"
            )


def _check_weights_are_read(name: str, loss: Loss, samples: Samples) -> None:
    if samples.weights is not None and not loss.reads_sample_weights:
        weighted = np.flatnonzero(samples.weights != 1)
        raise MftError(
            f"loss: {name} does not read the weights of rows, but {len(weighted)} training rows have one (the first: "
            f"{samples.origin(int(weighted[0]))}). Choose another loss "
            f"({installed.those_that(kinds.LOSS, 'reads_sample_weights')}), or remove the key 'weight' from the rows."
        )


def describe_row_weights(corpus: Corpus) -> str:
    """The sentence of the plan about the weights of rows; "" if all are 1."""
    weights = corpus.train.weights
    if weights is None:
        return ""
    described = []
    for index, task in enumerate(corpus.tasks):
        own = weights[corpus.train.task == index]
        if (own != 1).any():
            described.append(
                f"{task.name} {(own != 1).sum():,} of {len(own):,} rows other than 1, mean {own.mean():.4g}"
            )
    return f"weights of rows multiply their loss: {'; '.join(described)}"
