"""Takes the samples' gradients of a run, and predicts with them what training on subsets of its tasks would give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mftkit.tools.affinity.measured import measured_losses
from mftkit.tools.affinity.prediction import prediction
from mftkit.tools.affinity.prediction_result import PredictionSettings
from mftkit.tools.affinity.sample_gradients import choose_samples, sample_gradients
from mftkit.tools.affinity.sketch import CountSketch

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.data.corpus import Corpus
    from mftkit.reporting.reporter import Reporter
    from mftkit.tools.affinity.measured import MeasuredLoss
    from mftkit.tools.affinity.prediction_result import SubsetPrediction
    from mftkit.training.run_parts import Run

    Ints = np.typing.NDArray[np.int64]

TRAIN, VALID = 0, 1
"""The splits, in random seeds."""


@dataclass(frozen=True)
class SubsetOptions:
    """The user's choice."""

    samples: int
    """The most training samples, and the most validation samples, of each task."""
    groups: int
    """The most groups that are proposed."""
    projection: int
    """Numbers of a projected gradient."""
    measured: tuple[Path, ...] = ()
    """Directories of runs on subsets."""


@dataclass(frozen=True)
class Preparation:
    """All that can be checked before the model is loaded."""

    train: Ints
    valid: Ints
    measured: list[MeasuredLoss]


def prepare_subsets(corpus: Corpus, options: SubsetOptions, seed: int, reporter: Reporter) -> Preparation:
    """Choose samples and read measured runs. Raises MftError for a task with too few samples, or no such runs."""
    names = tuple(task.name for task in corpus.tasks)
    measured = measured_losses(options.measured, names, reporter) if options.measured else []
    return Preparation(
        choose_samples(corpus.train, names, options.samples, seed, "training"),
        choose_samples(corpus.valid, names, options.samples, seed, "validation"),
        measured,
    )


def predict_subsets(
    run: Run,
    prepared: Preparation,
    options: SubsetOptions,
    seed: int,
    parameters: str,
    reporter: Reporter,
) -> SubsetPrediction:
    """Predict the losses of subsets by the gradients of the run's parameters that require them.

    Args:
        run: ready to train, at the weights where gradients are taken.
        prepared: from ``prepare_subsets``, with the same options and seed.
        options: the user's choice.
        seed: random seed of the projection, of drawn tokens and of intervals.
        parameters: the run's trained parameters in words.
        reporter: receives progress.
    """
    corpus, model = run.checked.corpus, run.logprob_model
    sizes = [parameter.numel() for parameter in model.parameters() if parameter.requires_grad]
    sketch = CountSketch(sizes, options.projection, seed, run.device)
    total = len(prepared.train) + len(prepared.valid)
    with reporter.progress("samples", total) as advance:
        found = [
            sample_gradients(
                model, samples, members, run.batcher, sketch, _drawing_seed(seed, split), advance
            )
            for split, samples, members in (
                (TRAIN, corpus.train, prepared.train),
                (VALID, corpus.valid, prepared.valid),
            )
        ]
    settings = PredictionSettings(
        parameters=parameters,
        numbers=sum(sizes),
        projection=options.projection,
        train_samples=np.bincount(found[TRAIN].task).tolist(),
        valid_samples=np.bincount(found[VALID].task).tolist(),
        seed=seed,
    )
    names = tuple(task.name for task in corpus.tasks)
    return prediction(found[TRAIN], found[VALID], names, options.groups, settings, prepared.measured)


def _drawing_seed(seed: int, split: int) -> int:
    return int(np.random.SeedSequence([seed, split]).generate_state(1)[0])
