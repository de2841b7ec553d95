"""The training loop, from top to bottom."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mftkit.reporting.lines import TaskTraining, TaskValidation, TrainLine, ValidLine
from mftkit.reporting.outcome import Outcome
from mftkit.runs.checkpoint import Checkpoint, random_state, set_random_state
from mftkit.training.meter import Meter
from mftkit.training.nonfinite import NonFiniteLossError
from mftkit.training.optimizer import learning_rate
from mftkit.training.signals import StopRequest
from mftkit.training.validation_history import ValidationHistory

if TYPE_CHECKING:
    from mftkit.batches.sampler import GlobalBatch
    from mftkit.reporting.lines import Line
    from mftkit.reporting.listener import Listener
    from mftkit.runs.directory import RunDirectory
    from mftkit.training.setup import Assembly
    from mftkit.training.train_step import StepResult

FINITE_CHECK_EVERY = 50
"""Steps after which numbers that are not finite are looked for at the latest, where a look makes the device wait."""


@dataclass
class Progress:
    """Where the run is; part of every checkpoint."""

    step: int = 0
    standing: ValidationHistory = field(default_factory=ValidationHistory)
    stopped: bool = False

    @property
    def best_step(self) -> int | None:
        """The best by mean validation loss so far."""
        return self.standing.best_step

    @classmethod
    def load(cls, state: dict[str, Any]) -> Progress:
        """From what ``asdict`` gave."""
        return cls(**{**state, "standing": ValidationHistory(**state["standing"])})


class Trainer:
    """Trains what the assembly holds, into a run directory."""

    def __init__(self, assembly: Assembly, directory: RunDirectory, events: Listener) -> None:
        self._parts = assembly
        self._training = assembly.spec.training
        self._directory = directory
        self._events = events
        self._meter = Meter(len(assembly.corpus.tasks), assembly.device, assembly.objective.dtype)
        self._last: StepResult | None = None
        self._clock = Clock()
        self._saved = -1
        self.progress = Progress()

    def train(self) -> Outcome:
        """Go on to the end of the run, a stop signal, or a fault."""
        parts, progress = self._parts, self.progress
        parts.scorer.train()
        with StopRequest(self._events.stop_requested) as stop:
            try:
                if not progress.standing.steps:
                    self._validate()
                while progress.step < parts.steps.total and not progress.stopped:
                    step = parts.steps[progress.step + 1]
                    self._train_step(step)
                    final = step.number == parts.steps.total
                    line = self._log() if final or _due(self._training.log_every, step) else None
                    self._events.step_ended(step.number, line)
                    improved = False
                    if final or _due(self._training.evaluate_every, step):
                        improved = self._validate()
                    if final or improved or progress.stopped or _due(self._training.checkpoint_every, step):
                        self._save()
                    if parts.processes.any(stop.received is not None) and not final:
                        self._save()
                        return self._outcome("interrupted", signal=stop.received)
            except NonFiniteLossError as fault:
                return self._failed(fault)
        return self._outcome("early-stopped" if progress.stopped else "finished")

    def _train_step(self, step: GlobalBatch) -> None:
        parts = self._parts
        self._clock.start()
        rate = learning_rate(step.number, parts.steps.total, self._training)
        parts.balancing.begin(step.number)
        self._last = result = parts.runner(step, rate, self._meter)
        self.progress.step = step.number
        parts.balancing.end(step.number, result.task_losses, result.again)
        if parts.device.type == "cpu" or len(parts.runner.watch) >= FINITE_CHECK_EVERY:
            self._look()
        self._clock.stop()

    def _look(self) -> None:
        """Raise for a step since the last look that was not finite."""
        self._parts.runner.watch.look(lambda step: torch.from_numpy(self._parts.steps[step].tokens > 0))

    def _log(self) -> TrainLine:
        """Write the train line of the steps since the last one."""
        self._clock.start()
        self._look()  # waits for the device: the steps' work is done, and its time is theirs
        self._clock.stop()
        parts, meter, last = self._parts, self._meter, self._last
        assert last is not None, "a line follows a step"
        own = torch.tensor([meter.positions, meter.real_tokens], dtype=meter.nll.dtype, device=parts.device)
        nll = parts.processes.sum(meter.nll).cpu().double()
        positions, real_tokens = parts.processes.sum(own).tolist()
        weights = last.weights.tolist()
        line = TrainLine(
            step=self.progress.step,
            epoch=round(parts.steps.epochs_done(self.progress.step), 6),
            loss=float(meter.objective) / meter.steps,
            tasks={
                task.name: TaskTraining(
                    loss=float(nll[i] / meter.tokens[i]) if meter.tokens[i] else None,
                    weight=weights[i],
                    tokens=int(meter.tokens[i]),
                    samples=int(meter.samples[i]),
                )
                for i, task in enumerate(parts.corpus.tasks)
            },
            learning_rate=learning_rate(self.progress.step, parts.steps.total, self._training),
            grad_norm=float(last.grad_norm),
            tokens_per_second=round(real_tokens / max(self._clock.take(), 1e-9), 1),
            padding=1 - real_tokens / positions,
            auxiliary_loss=(None if last.auxiliary is None else float(parts.processes.sum(last.auxiliary))),
        )
        meter.reset()
        self._write(line)
        return line

    def _write(self, line: Line) -> None:
        if self._parts.processes.is_main:
            self._directory.metrics.write(line)

    def _validate(self) -> bool:
        """Write a valid line; whether this step is to be kept, as the best by a measure that the spec asks for."""
        parts, progress = self._parts, self.progress
        self._look()
        if not len(parts.corpus.valid):
            return False
        nll, tokens = parts.validator.losses(parts.scorer)
        names = [task.name for task in parts.corpus.tasks]
        losses = [n / t if t else math.nan for n, t in zip(nll, tokens, strict=True)]
        tasks = {
            name: TaskValidation(loss=float(loss), tokens=int(t))
            for name, loss, t in zip(names, losses, tokens, strict=True)
            if t
        }
        mean = float(np.mean([loss for loss, t in zip(losses, tokens, strict=True) if t]))
        line = ValidLine(step=progress.step, loss=mean, tasks=tasks)
        self._write(line)
        self._events.validated(line)
        if not math.isfinite(mean):
            bad = [i for i, loss in enumerate(losses) if tokens[i] and not math.isfinite(loss)]
            raise NonFiniteLossError(progress.step, bad, [], validation=True)
        before = set(parts.balancing.stopped)
        progress.standing.add(progress.step, losses)
        self._heed_stops(before)
        kept = [*self._directory.checkpoints.steps(), progress.step]
        # What lies there is the main process's to say: it may just be removing what another still sees.
        return bool(parts.processes.from_main(progress.step in self._wanted(kept)))

    def _heed_stops(self, before: set[int]) -> None:
        """Tasks that gain no more, and the run where none does."""
        stopping, standing = self._training.early_stopping, self.progress.standing
        names = [task.name for task in self._parts.corpus.tasks]
        self._parts.balancing.stopped = standing.stopped(stopping, names)
        self.progress.stopped = standing.is_over(stopping, names)
        for index in self._parts.balancing.stopped:
            if index not in before and self._parts.processes.is_main:
                self._events.task_stopped(names[index], self.progress.step)

    def _wanted(self, kept: list[int]) -> set[int]:
        """The steps whose weights become a result, of those whose checkpoints are ``kept``."""
        standing = self.progress.standing
        wanted = {standing.best_step}
        if self._parts.best_per_task:
            wanted |= {*standing.best_steps().values(), standing.best_by_rank(kept)}
        return {step for step in wanted if step is not None}

    def _save(self) -> None:
        """Write a checkpoint of this step, unless there is one."""
        self._look()  # weights after a step that was not finite are never saved
        parts, step, store = self._parts, self.progress.step, self._directory.checkpoints
        if self._saved == step:
            return
        self._saved = step
        own = {"random": random_state(), "meter": self._meter.state_dict()}
        every = parts.processes.gather(own)
        if parts.processes.is_main:
            state = {
                "progress": asdict(self.progress),
                "optimizer": parts.optimizer.state_dict(),
                "balancing": parts.balancing.state_dict(),
                "gradients": parts.gradients.state_dict(),
                "processes": every,
                "seconds": self._clock.spent,
            }
            manifest = {
                "data": parts.corpus.fingerprint,
                "processes": parts.processes.count,
                "base": parts.own_base,
            }
            path = store.write(step, Checkpoint(parts.tuning.state_dict(parts.model), state, manifest))
            store.prune(self._training.keep_checkpoints, self._wanted(store.steps()))
            self._events.saved(step, path)
        parts.processes.from_main(None)  # nobody runs ahead of a checkpoint that is not there yet

    def resume(self, checkpoint: Checkpoint) -> None:
        """Take up the state of a checkpoint; what follows is what would have followed."""
        parts, state = self._parts, checkpoint.state
        parts.tuning.load_state_dict(parts.model, checkpoint.model)
        parts.optimizer.load_state_dict(state["optimizer"])
        parts.balancing.load_state_dict(state["balancing"])
        parts.gradients.load_state_dict(state["gradients"])
        own = state["processes"][parts.processes.rank]
        self._meter.load_state_dict(own["meter"])
        self.progress = Progress.load(state["progress"])
        self._saved = self.progress.step
        self._clock.spent = state["seconds"]
        set_random_state(own["random"])

    def _failed(self, fault: NonFiniteLossError) -> Outcome:
        """The end of a run whose numbers are not finite, told by step, tasks and samples."""
        parts = self._parts
        gathered = parts.processes.gather((fault.tasks, fault.samples))
        tasks = sorted({task for each, _ in gathered for task in each})
        samples = [sample for _, each in gathered for sample in each]
        told = (
            self._validation_fault(tasks)
            if fault.validation
            else self._training_fault(fault.step, tasks, samples)
        )
        return Outcome("failed", fault.step, self.progress.best_step, error=f"{told}; {self._way_out()}")

    def _way_out(self) -> str:
        """The same spec would fail again, and with another one this run cannot be gone on with."""
        kept = self._directory.checkpoints.steps()[-1:]
        good = f"; the checkpoint of step {kept[0]} was kept" if kept else ""
        return f"lower training.learning_rate or mend the data, and use --fresh or another output{good}"

    def _validation_fault(self, tasks: list[int]) -> str:
        names = ", ".join(self._parts.corpus.tasks[i].name for i in tasks)
        return f"the validation loss is not finite at step {self.progress.step}; tasks: {names}"

    def _training_fault(self, number: int, tasks: list[int], samples: list[int]) -> str:
        corpus, step = self._parts.corpus, self._parts.steps[number]
        what = "the loss"
        if not samples:
            # Every log-probability was finite: the gradient overflowed, and which sample's is not known.
            what = "the loss" if tasks else "the gradient"
            samples = [int(i) for row in step.rows for i in row if not tasks or corpus.train.task[i] in tasks]
            tasks = tasks or [int(i) for i in step.tokens.nonzero()[0]]
        told = [f"{i} ({corpus.train.origin(i)})" for i in samples[:8]]
        more = f" and {len(samples) - 8} more" if len(samples) > 8 else ""
        names = ", ".join(corpus.tasks[i].name for i in tasks)
        return f"{what} is not finite in step {number}; tasks: {names}; samples: {', '.join(told)}{more}"

    def _outcome(self, reason: str, **more: Any) -> Outcome:
        return Outcome(reason, self.progress.step, self.progress.best_step, **more)


class Clock:
    """Seconds spent in training steps, without validation and checkpoints."""

    def __init__(self) -> None:
        self.spent = self._started = 0.0

    def start(self) -> None:
        """A step begins."""
        self._started = time.perf_counter()

    def stop(self) -> None:
        """It ends."""
        self.spent += time.perf_counter() - self._started

    def take(self) -> float:
        """Seconds since the last call."""
        spent, self.spent = self.spent, 0.0
        return spent


def _due(every: int | str, step: GlobalBatch) -> bool:
    return step.ends_epoch if isinstance(every, str) else step.number % every == 0
