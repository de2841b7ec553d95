"""Measures the tasks' gradients over sampled batches, with the code that trains with them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from mftkit.base.reasons import reason
from mftkit.batches.collate import collate
from mftkit.interfaces.balancer import Balancer
from mftkit.interfaces.gradients import GradientCombiner
from mftkit.interfaces.tokenization import TokenizationMode
from mftkit.models.eval_contexts import evaluation
from mftkit.spec.local_plugins import with_own_plugins
from mftkit.tools.affinity.intervals import Affinity, Settings, summarize
from mftkit.tools.affinity.parameters import LAST, choose
from mftkit.tools.affinity.sampling import Halves, step_of
from mftkit.tools.affinity.subset_measurement import predict_subsets, prepare_subsets
from mftkit.training.balancing import Balancing
from mftkit.training.engine_choice import single_process
from mftkit.training.gradients import PerTaskGradients
from mftkit.training.meter import Meter
from mftkit.training.setup import build_run, check_run
from mftkit.training.train_step import TrainStep
from mftkit_registry import MftError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter

    from mftkit.interfaces.component import TaskInfo
    from mftkit.interfaces.tokenization import Batch, MicroBatch
    from mftkit.reporting.reporter import Reporter
    from mftkit.spec import Spec
    from mftkit.tools.affinity.run_checkpoint import RunCheckpoint
    from mftkit.tools.affinity.subset_measurement import SubsetOptions
    from mftkit.training.run_parts import CheckedRun, Run


@with_own_plugins
def measure(
    spec: Spec,
    *,
    batches: int,
    samples: int,
    seed: int,
    layers: int | None,
    all_parameters: bool,
    checkpoint: RunCheckpoint | None,
    reporter: Reporter,
    subsets: SubsetOptions | None = None,
) -> Affinity:
    """Cosines of the tasks' gradients, of the spec's loss over training samples, without dropout.

    Args:
        spec: names model, tuning, tasks and loss.
        batches: number of batches of two halves.
        samples: number of samples of each task in a half.
        seed: random seed for choosing samples and for intervals.
        layers: number of decoder layers, from the end, whose parameters are compared; None: all if the tuning makes an
            adapter, else the last ``LAST``.
        all_parameters: compare all trained parameters, whatever the tuning.
        checkpoint: of a run; None: the model as the spec starts it.
        reporter: receives messages and progress.
        subsets: predict what training on subsets of the tasks would give, too.

    Raises:
        MftError: something the user can fix.
    """
    checked = check_run(spec, reporter)
    if len(checked.corpus.tasks) < 2:
        raise MftError("tasks: affinity compares tasks, and the spec has only one.")
    halves = Halves(checked.corpus, batches, samples, seed, reporter)
    prepared = prepare_subsets(checked.corpus, subsets, seed, reporter) if subsets else None
    run = _build(checked, checkpoint)
    trained = [parameter for parameter in run.logprob_model.parameters() if parameter.requires_grad]
    kept = layers is not None
    if layers is None and not all_parameters and not checked.tuning.saves_adapter:
        layers = LAST
    parameters = choose(run.logprob_model, None if all_parameters else layers)
    reporter.note(f"comparing gradients of {parameters}")
    cosines = Cosines(None, checked.corpus.tasks)
    _measure_batches(run, cosines, halves, batches, reporter)
    settings = Settings(
        name=spec.name,
        loss=spec.loss.name,
        state=_state(run, checkpoint),
        parameters=parameters,
        numbers=cosines.numbers,
        batches=batches,
        samples=samples,
        seed=seed,
    )
    names = tuple(task.name for task in checked.corpus.tasks)
    found = summarize(names, np.stack([found.numpy() for found in cosines.found]), seed, settings)
    if subsets is None or prepared is None:
        return found
    parameters = parameters if kept else _train_all(run, trained)
    return replace(found, subsets=predict_subsets(run, prepared, subsets, seed, parameters, reporter))


def _build(checked: CheckedRun, checkpoint: RunCheckpoint | None) -> Run:
    """The run with the checkpoint's weights, if there is one."""
    run = build_run(checked, checkpoint.base if checkpoint is not None and checkpoint.base.kept else None)
    if checkpoint is not None:
        _restore(run, checkpoint)
    return run


def _train_all(run: Run, trained: list[Parameter]) -> str:
    """Lift the limit to the last layers: it is for the memory of whole gradients, and a projection needs none."""
    for parameter in trained:
        parameter.requires_grad_(True)
    return choose(run.logprob_model, None)


def _state(run: Run, checkpoint: RunCheckpoint | None) -> str:
    """Where the weights come from."""
    if checkpoint is not None:
        return str(checkpoint.path)
    return "as the spec starts it" if run.checked.start is None else run.checked.start.weights


def _restore(run: Run, checkpoint: RunCheckpoint) -> None:
    if checkpoint.manifest.get("base") != run.own_base:
        raise MftError(
            f"--run: {checkpoint.path} was trained on another base than the run has now; restore the run's base/"
        )
    try:
        run.checked.tuning.load_state_dict(run.model, checkpoint.weights)
    except (KeyError, RuntimeError) as error:  # a tokenizer trained on other text has another size
        raise MftError(
            f"--run: the weights of {checkpoint.path} do not fit the spec's model ({reason(error)}); give the "
            "run's own spec.json as SPEC"
        ) from error


def _measure_batches(run: Run, cosines: Cosines, halves: Halves, batches: int, reporter: Reporter) -> None:
    """Make optimizer steps that change no weight, for the gradients that ``cosines`` then gets."""
    checked, model, count = run.checked, run.logprob_model, len(run.checked.corpus.tasks)
    train = checked.corpus.train
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(
        trained, lr=0.0, fused=True
    )  # fused, since only fused optimizers can skip a step
    engine = single_process(model, optimizer, run.device)
    runner = TrainStep(
        model,
        train,
        OneSamplePerRow(None),
        checked.objective,
        Balancing(EqualWeights(None, checked.corpus.tasks), count, _no_validation),
        engine,
        run.batcher,
        None,
        PerTaskGradients(engine, trained, checked.processes, cosines),
    )
    meter = Meter(count, run.device, checked.objective.dtype)
    with evaluation(model), reporter.progress("batches", batches) as advance:
        for batch in range(batches):
            for second in (False, True):
                step = step_of(2 * batch + second + 1, halves.half(batch, second), train, count)
                runner(step, 0.0, meter)
            if len(cosines.found) != batch + 1:
                raise MftError(
                    "a gradient is not finite, so it has no direction: the model's weights are damaged, or model.dtype "
                    "is too narrow; set model.dtype to float32, or take another checkpoint"
                )
            advance(1)


class Cosines(GradientCombiner):
    """Keeps the cosines between the gradients of each two successive steps; what it returns is not used."""

    def __init__(self, options: None, tasks: tuple[TaskInfo, ...]) -> None:
        super().__init__(options, tasks)
        self.found: list[Tensor] = []
        """Each [tasks, tasks] float64."""
        self.numbers = 0
        """Number of parameters in a gradient."""
        self._first: Tensor | None = None

    def combine(self, gradients: Tensor, weights: Tensor) -> Tensor:  # noqa: ARG002
        """Keep the cosines; returns the first task's gradient, which is as good as any."""
        self.numbers = gradients.shape[1]
        if self._first is None:
            self._first = gradients.clone()
        else:
            self.found.append(cosines(self._first, gradients))
            self._first = None
        return gradients[0]


def cosines(one: Tensor, other: Tensor) -> Tensor:
    """Cosines [tasks, tasks] between rows of gradients [tasks, P] of two halves, which share no sample.

    For two tasks: the mean of the four cosines between and within the halves. For a task with itself: between the
    halves. A gradient of zero has a cosine of 0 with every other.
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


class EqualWeights(Balancer):
    """Equal weights: a weight changes no angle."""

    def weights(self) -> Tensor:
        """Ones [tasks]."""
        return torch.ones(len(self.tasks), dtype=torch.float64)


class OneSamplePerRow(TokenizationMode):
    """One sample per row, whatever mode the spec trains with."""

    def collate(self, samples: MicroBatch) -> Batch:
        """Pad rows to the longest of them."""
        return collate(samples)


def _no_validation(_number: int, _samples: int) -> Tensor:
    raise AssertionError("equal weights need no validation")
