"""One optimizer step, exact over the global batch. ``training/loop.py`` says what a step does, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.training.coefficients import Coefficients
from mftkit.training.gradients import Gradients
from mftkit.training.nonfinite import NonFiniteGuard
from mftkit.training.optimizer import SCALE
from mftkit.training.step_result import StepResult

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mftkit.batches.ahead import StepBatch
    from mftkit.batches.batcher import Batcher
    from mftkit.batches.sampler import GlobalBatch
    from mftkit.data.corpus import Samples
    from mftkit.interfaces.engine import Engine
    from mftkit.interfaces.tokenization import TokenizationMode
    from mftkit.training.balancing import Balancing
    from mftkit.training.meter import Meter
    from mftkit.training.objective import Objective
    from mftkit.training.run_parts import Run


class TrainStep:
    """One optimizer step, exact over the global batch: forward, backward and update."""

    def __init__(
        self,
        model: nn.Module,
        samples: Samples,
        mode: TokenizationMode,
        objective: Objective,
        balancing: Balancing,
        engine: Engine,
        batcher: Batcher,
        max_grad_norm: float | None,
        gradients: Gradients | None = None,
    ) -> None:
        """``model`` is what ``engine.wrap`` returned; ``gradients`` None: they are summed, not kept for each task."""
        self._model = model
        self._samples = samples
        self._mode = mode
        self._objective = objective
        self._balancing = balancing
        self._engine = engine
        self._batcher = batcher
        self._processes = batcher.processes
        self._trained = [p for p in model.parameters() if p.requires_grad]
        self._gradients = gradients or Gradients(engine, self._trained)
        self._max_grad_norm = max_grad_norm
        self.guard = NonFiniteGuard()

    @classmethod
    def of(cls, run: Run) -> TrainStep:
        """The step of a run."""
        checked = run.checked
        return cls(
            run.parallel_model,
            checked.corpus.train,
            checked.mode,
            checked.objective,
            run.balancing,
            checked.engine,
            run.batcher,
            checked.spec.training.max_grad_norm,
            run.gradients,
        )

    def prepare(self, batch: GlobalBatch) -> StepBatch:
        """Lay out and collate this process's part of a global batch; may run in another thread than the step."""
        return self._batcher.step(batch, self._samples, self._mode.collate)

    def __call__(
        self, batch: GlobalBatch, learning_rate: float, meter: Meter, prepared: StepBatch | None = None
    ) -> StepResult:
        """Train on one global batch; ``prepared`` is what ``prepare`` returns for it, None: it is made now."""
        processes, objective = self._processes, self._objective
        made = prepared or self.prepare(batch)
        micro_batches = [each.to(processes.device) for each in made.micro_batches]
        counts = objective.counts(batch.tokens, batch.samples)  # of the global batch, before any forward pass
        coefficients = Coefficients(
            self._model, objective, self._balancing, processes, batch.number, micro_batches, counts
        )
        totals = objective.zeros()
        router_total: Tensor | None = None
        self._gradients.begin(made.rows, self._samples.in_epoch(batch.epoch).task)
        for i, micro_batch in enumerate(micro_batches):
            coefficients.begin_forward(i)
            with self._gradients.accumulate(i):
                factors = coefficients.factors(i)
                logprobs, router_loss = self._model(micro_batch, factors)
                # Its gradient is this micro-batch's part of the step's gradient; its value means nothing.
                if factors is None:
                    statistics = objective.statistics(logprobs, micro_batch)
                    surrogate = coefficients.surrogate(statistics)
                else:
                    statistics = coefficients.statistics(i, logprobs.detach())
                    surrogate = (factors.to(logprobs.dtype) * logprobs).sum()
                if router_loss is not None:
                    # The router's loss is a product of means, so no sum over micro-batches is exact: each one is
                    # weighted by its share of the loss tokens, and by no task weight.
                    share = len(micro_batch.targets) / max(1.0, float(batch.tokens.sum()))
                    part = router_loss * share
                    surrogate = surrogate + part
                    router_total = part.detach() if router_total is None else router_total + part.detach()
                self._gradients.backward(surrogate)
            totals += statistics.detach()
            meter.add_micro_batch(logprobs, micro_batch)
            self.guard.add_micro_batch(batch.number, logprobs, micro_batch)
        weights = coefficients.weights  # read here: a single micro-batch settles them in the loop above
        self._gradients.finish(weights, counts)
        value, task_losses = objective.value(processes.sum(totals), counts, weights)
        if router_total is not None:
            value = value + processes.sum(router_total)
        grad_norm = self._update(batch.number, learning_rate, value, task_losses)
        meter.add_step(batch, value)
        after = coefficients.losses_after_update()
        return StepResult(value, task_losses, weights, grad_norm, router_total, after)

    def _update(self, number: int, learning_rate: float, objective: Tensor, task_losses: Tensor) -> Tensor:
        """Clip the gradient and update the weights; returns the gradient's norm before clipping."""
        norm = self._engine.clip(self._trained, self._max_grad_norm or float("inf"))
        for group in self._engine.optimizer.param_groups:
            group["lr"] = learning_rate * group.get(SCALE, 1.0)
        # 1 leaves out the update, so bad numbers never reach the weights.
        self._engine.update(self.guard.add_step(number, objective, task_losses, norm))
        return norm
