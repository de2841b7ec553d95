"""Two projected gradients of each sample, and its loss: all that the linear model of training reads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from mftkit.batches.collate import collate
from mftkit.models.eval_contexts import evaluation
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from mftkit.batches.batcher import Batcher
    from mftkit.data.corpus import Samples
    from mftkit.interfaces.tokenization import Batch
    from mftkit.tools.affinity.sketch import CountSketch
    from mftkit.training.logprob_model import LogprobModel

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]


@dataclass(frozen=True)
class SampleGradients:
    """Some samples of all tasks, at the weights where gradients were taken."""

    task: Ints
    """[n]: index of the task."""
    tokens: Floats
    """[n]: loss tokens."""
    losses: Floats
    """[n]: mean of -log p over the loss tokens, in nats."""
    gradients: Floats
    """[n, d]: projected gradients of these losses."""
    drawn: Floats
    """[n, d]: projected gradients of the same losses, had the loss tokens been drawn from the model."""

    def of(self, rows: Ints) -> SampleGradients:
        """These samples alone."""
        return SampleGradients(
            self.task[rows], self.tokens[rows], self.losses[rows], self.gradients[rows], self.drawn[rows]
        )


def choose_samples(samples: Samples, tasks: tuple[str, ...], count: int, seed: int, kind: str) -> Ints:
    """Up to ``count`` random samples of each task. Raises MftError for a task with fewer than two."""
    chosen = []
    for number, name in enumerate(tasks):
        members = np.flatnonzero(samples.task == number)
        if len(members) < 2:
            raise MftError(
                f"--subsets: task {name} has {len(members)} {kind} samples, but at least two are needed; give it more, "
                "or remove it from the spec"
            )
        chosen.append(np.random.default_rng([seed, number]).permutation(members)[:count])
    return np.concatenate(chosen)


def sample_gradients(
    model: LogprobModel,
    samples: Samples,
    members: Ints,
    batcher: Batcher,
    sketch: CountSketch,
    seed: int,
    advance: Callable[[int], None],
) -> SampleGradients:
    """The losses and projected gradients of ``members``, without dropout, by two backward passes each.

    Each parameter's gradient is projected and freed as soon as the backward pass has it, so there is never a whole one.

    Raises:
        MftError: a gradient is not finite.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    handles = [
        parameter.register_post_accumulate_grad_hook(_projecting(sketch, number))  # type: ignore[no-untyped-call]
        for number, parameter in enumerate(trained)
    ]
    random = torch.Generator(batcher.processes.device).manual_seed(seed)
    losses = np.empty(len(members))
    gradients, drawn = np.empty((2, len(members), sketch.dimension))
    try:
        with evaluation(model), torch.enable_grad():
            for row, member in enumerate(members):
                batch = batcher.batch(samples, [[int(member)]], collate)
                losses[row] = _backward(model, batch)
                gradients[row] = sketch.take().numpy()
                _backward(model, replace(batch, targets=model.draw_targets(batch, random)))
                drawn[row] = sketch.take().numpy()
                advance(1)
    finally:
        for handle in handles:
            handle.remove()
    if not all(np.isfinite(numbers).all() for numbers in (losses, gradients, drawn)):
        raise MftError(
            "a sample's gradient is not finite: the model's weights are damaged, or model.dtype is too narrow; set "
            "model.dtype to float32, or take another checkpoint"
        )
    tokens = samples.loss_tokens[members].astype(np.float64)
    return SampleGradients(samples.task[members], tokens, losses, gradients, drawn)


def _backward(model: LogprobModel, batch: Batch) -> float:
    """Back-propagate the mean loss of a batch's loss tokens; returns it."""
    logprobs, _ = model(batch)
    loss = -logprobs.mean()
    loss.backward()
    return float(loss.detach())


def _projecting(sketch: CountSketch, number: int) -> Callable[[torch.Tensor], None]:
    def project(parameter: torch.Tensor) -> None:
        assert parameter.grad is not None
        sketch.add(number, parameter.grad)
        parameter.grad = None

    return project
