"""Takes the tasks' gradients over sampled batches, by the machinery that trains with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mftkit.base.reasons import reason
from mftkit.batches.collate import collate
from mftkit.interfaces.balancer import Balancer
from mftkit.interfaces.gradients import GradientCombiner
from mftkit.interfaces.tokenization import TokenizationMode
from mftkit.models.eval_contexts import evaluation
from mftkit.tools.affinity.intervals import Affinity, summarise
from mftkit.tools.affinity.parameters import LAST, choose
from mftkit.tools.affinity.sampling import Halves, step_of
from mftkit.training.balancing import Balancing
from mftkit.training.gradients import PerTaskGradients
from mftkit.training.loop import TrainStep
from mftkit.training.meter import Meter
from mftkit.training.setup import build_run, check_run
from mftkit_registry import MftError

if TYPE_CHECKING:
    from torch import Tensor

    from mftkit.interfaces.tokenization import Batch, MicroBatch
    from mftkit.reporting.reporter import Reporter
    from mftkit.spec import Spec
    from mftkit.tools.affinity.run_checkpoint import RunState
    from mftkit.training.run_parts import Run


def measure(
    spec: Spec,
    *,
    batches: int,
    samples: int,
    seed: int,
    layers: int | None,
    everything: bool,
    state: RunState | None,
    reporter: Reporter,
) -> Affinity:
    """Cosines of the tasks' gradients, of the spec's loss over training samples, without dropout.

    Args:
        spec: names model, tuning, tasks and loss.
        batches: how many batches of two halves.
        samples: of each task in a half.
        seed: of the samples and of the intervals.
        layers: decoder layers from the end whose parameters are compared; None: all where the tuning makes an
            adapter, else the last ``LAST``.
        everything: all trained parameters, whatever the tuning.
        state: of a run; None: the model as the spec starts it.
        reporter: receives messages and progress.

    Raises:
        MftError: something the user can mend.
    """
    checked = check_run(spec, reporter)
    if len(checked.corpus.tasks) < 2:
        raise MftError("tasks: affinity is between tasks, and the spec has one.")
    halves = Halves(checked.corpus, batches, samples, seed, reporter)
    run = build_run(checked, state.place if state is not None and state.place.kept else None)
    if state is not None:
        _restore(run, state)
    if layers is None and not everything and not checked.tuning.saves_adapter:
        layers = LAST
    chosen = choose(run.logprob_model, None if everything else layers)
    reporter.note(f"gradients of {chosen}")
    cosines = Cosines(None, checked.corpus.tasks)
    _take(run, cosines, halves, batches, reporter)
    settings = {
        "name": spec.name,
        "loss": spec.loss.name,
        "state": "as the spec starts it" if state is None else str(state.path),
        "parameters": chosen,
        "numbers": cosines.numbers,
        "batches": batches,
        "samples": samples,
        "seed": seed,
    }
    names = tuple(task.name for task in checked.corpus.tasks)
    return summarise(names, np.stack([found.numpy() for found in cosines.found]), seed, settings)


def _restore(run: Run, state: RunState) -> None:
    manifest = state.checkpoint.manifest
    if manifest.get("base") != run.own_base:
        raise MftError(f"--run: the base of {state.path} is not there any more as it was trained upon.")
    try:
        run.checked.tuning.load_state_dict(run.model, state.checkpoint.model)
    except (KeyError, RuntimeError) as error:  # a tokenizer trained on other tasks' text has another size
        raise MftError(
            f"--run: the weights of {state.path} do not fit the model that the spec makes ({reason(error)}); give the "
            "run's own spec.json as SPEC"
        ) from error


def _take(run: Run, cosines: Cosines, halves: Halves, batches: int, reporter: Reporter) -> None:
    """Steps that change no weight."""
    checked, model, count = run.checked, run.logprob_model, len(run.checked.corpus.tasks)
    train = checked.corpus.train
    trained = [p for p in model.parameters() if p.requires_grad]
    runner = TrainStep(
        model,
        train,
        Alone(None),
        checked.objective,
        Balancing(Even(None, checked.corpus.tasks), count, _no_validation),
        torch.optim.SGD(trained, lr=0.0, fused=True),  # fused: the kind that leaves steps out
        run.batcher,
        None,
        PerTaskGradients(model, checked.processes, train.task, count, cosines),
    )
    meter = Meter(count, run.device, checked.objective.dtype)
    with evaluation(model), reporter.progress("batches", batches) as advance:
        for batch in range(batches):
            for second in (False, True):
                step = step_of(2 * batch + second + 1, halves.half(batch, second), train, count)
                runner(step, 0.0, meter)
            if len(cosines.found) != batch + 1:
                raise MftError(
                    "a gradient is not finite, so that there are no angles: the model's weights are of no use, or "
                    "model.dtype is too narrow"
                )
            advance(1)


class Cosines(GradientCombiner):
    """Keeps the cosines between the gradients of every two steps in turn; what it gives is not used."""

    def __init__(self, options: Any, tasks: Any) -> None:
        super().__init__(options, tasks)
        self.found: list[Tensor] = []
        """[tasks, tasks] float64 each."""
        self.numbers = 0
        """In a gradient."""
        self._first: Tensor | None = None

    def combine(self, gradients: Tensor, weights: Tensor) -> Tensor:  # noqa: ARG002
        """The first task's gradient, as good as any."""
        self.numbers = gradients.shape[1]
        if self._first is None:
            self._first = gradients.clone()
        else:
            self.found.append(cosines(self._first, gradients))
            self._first = None
        return gradients[0]


def cosines(one: Tensor, other: Tensor) -> Tensor:
    """Cosines [tasks, tasks] between rows of gradients [tasks, P] of two halves, which share no sample.

    Of two tasks: the mean of the four between and within the halves. Of a task with itself: between the halves.
    A gradient of zero has a cosine of 0 with all.
    """
    inner = [(a @ b.T).double().cpu() for a, b in ((one, one), (other, other), (one, other))]
    lengths = [table.diagonal().sqrt() for table in inner[:2]]
    smallest = torch.finfo(torch.float64).tiny
    within = [
        table / torch.outer(length, length).clamp(min=smallest)
        for table, length in zip(inner[:2], lengths, strict=True)
    ]
    between = inner[2] / torch.outer(*lengths).clamp(min=smallest)
    mean = (within[0] + within[1] + between + between.T) / 4
    return mean.diagonal_scatter(between.diagonal())


class Even(Balancer):
    """All tasks alike: a weight changes no angle."""

    def weights(self) -> Tensor:
        """Ones [tasks]."""
        return torch.ones(len(self.tasks), dtype=torch.float64)


class Alone(TokenizationMode):
    """One sample a row, whatever the spec trains with."""

    def collate(self, samples: MicroBatch) -> Batch:
        """Rows as long as the longest of them."""
        return collate(samples)


def _no_validation(_number: int, _samples: int) -> Tensor:
    raise AssertionError("an even balancer asks for no validation")
