"""The training loop: one optimizer step, and the loop around it with validating, saving and resuming.

What a step does, and where (N tasks, k statistics per task, several micro-batches):

- ``batches/sampler.py`` decides which samples the global batch of a step holds, ``batches/batcher.py`` and a
  tokenization mode make tensors of them, one step ahead (``batches/ahead.py``); ``training/logprob_model.py`` runs the
  model.
- ``TrainStep`` below is the step: micro-batches, forward, backward, update.
- Losses are functions of sums: ``training/objective.py`` has a micro-batch's ``statistics`` [N, k], the objective F of
  their total over the global batch, and its slopes dF/ds [N, k].
- ``training/coefficients.py`` finds the step's task weights and slopes, if need be by a first pass over all
  micro-batches. The gradient of, say, a focal loss over four micro-batches is the sum over these four of the gradients
  of ``coefficients.surrogate(statistics)``, which ``gradients.backward`` adds up.
- ``training/balancing.py`` asks the balancer for the weights, and shows it the losses that it needs.
- ``training/gradients.py`` is where the backward passes leave their gradients: summed, or one for each task.
"""

from __future__ import annotations

import math
import time
from functools import partial
from typing import TYPE_CHECKING, cast

import torch

from mftkit.batches.ahead import BatchesAhead
from mftkit.reporting.outcome import Outcome
from mftkit.training.checkpoint_timing import CheckpointTiming
from mftkit.training.checkpoint_writing import CheckpointWriting
from mftkit.training.failures import describe_nonfinite, describe_out_of_memory
from mftkit.training.meter import Meter, StepClock
from mftkit.training.metrics_lines import rollback_line, train_line, valid_line
from mftkit.training.nonfinite import CHECK_EVERY, NonFiniteLossError
from mftkit.training.rollback_checkpoint import read_checkpoint
from mftkit.training.run_state import RunState
from mftkit.training.schedule import RunSchedule
from mftkit.training.signals import StopRequest
from mftkit.training.stop_requests import Request, StopRequests
from mftkit.training.train_step import TrainStep

if TYPE_CHECKING:
    from mftkit.batches.sampler import GlobalBatch
    from mftkit.reporting.lines import Line, TrainLine
    from mftkit.reporting.listener import Listener
    from mftkit.runs.checkpoint import Checkpoint
    from mftkit.runs.directory import RunDirectory
    from mftkit.training.run_parts import Run
    from mftkit.training.schedule import Extension, ScheduleState
    from mftkit.training.step_result import StepResult
    from mftkit.training.training_state import Progress, TrainingState
    from mftkit.training.validation_history import Rollback, ValidationHistory


class Trainer:
    """Trains a run, and writes its metrics and checkpoints to a run directory."""

    def __init__(
        self, run: Run, directory: RunDirectory, listener: Listener, stops: StopRequests | None = None
    ) -> None:
        """``stops`` are requests to end the run, which ``listener`` may make in the main process."""
        checked = run.checked
        self._stops = stops or StopRequests()
        self._run = run
        self._directory = directory
        self._listener = listener
        self._processes = checked.processes
        self._corpus = checked.corpus
        self._task_names = [task.name for task in checked.corpus.tasks]
        self._sampler = checked.sampler
        self._training = checked.spec.training
        self.history = run.history
        self._deciding = run.deciding
        self._train_step = TrainStep.of(run)
        self._ahead = BatchesAhead(self._sampler, self._train_step.prepare)
        self._meter = Meter(len(self._task_names), run.device, checked.objective.dtype)
        self._clock = StepClock()
        self._last: StepResult | None = None
        self._state = RunState(run)
        self._writing = CheckpointWriting(
            directory.checkpoints,
            checked.processes,
            listener.saved,
            asynchronous=self._training.asynchronous_checkpoints,
        )
        self._saved = -1
        self._timing = CheckpointTiming(self._training.checkpoint_every)
        self._schedule = RunSchedule.of(self._training, self._sampler.total)
        self._lacks_last_validation = False
        """Whether the run was made to end at the step from which it resumes, which was not the last one then."""
        self.step = 0
        """Optimizer steps done."""

    def train(self) -> Outcome:
        """Train to the end of the run, to a stop signal, or to a number that is not finite."""
        self._run.logprob_model.train()
        with StopRequest(self._listener.stop_requested) as stop:
            try:
                outcome = self._train(stop)
                self._ahead.end()
                self._writing.end()
            except NonFiniteLossError as error:
                self._ahead.end()
                self._writing.end()  # all processes have seen it after the same step
                saved = self._directory.checkpoints.steps()
                message = describe_nonfinite(error, self._corpus, self._sampler, self._processes, saved)
                return Outcome("failed", error.step, self._best_step, error=message)
            except Exception:
                self._ahead.end()
                self._writing.wait_alone()
                raise
        return outcome

    def _train(self, stop: StopRequest) -> Outcome:
        if not self.history.steps:
            self._validate()
        if self.step == 0:
            self._evaluate()
        self._timing.restart()
        if self._lacks_last_validation:
            self._validate_last_step()
        while not self._is_over:
            if (rollback := self._deciding.pending_rollback()) is not None:
                self._roll_back(rollback)
            elif (outcome := self._make_step(stop)) is not None:
                return outcome
        self._evaluate_end()
        reason = "early-stopped" if self._deciding.is_over else "finished"
        return Outcome(reason, self.step, self._best_step)

    def _make_step(self, stop: StopRequest) -> Outcome | None:
        """Train on the next batch, with all that is due after it; returns the outcome if the run ends by a request."""
        batch = self._train_on(self.step + 1)
        self._writing.reserve(self._state.copied)
        final = batch.number == self._sampler.total
        window_ends = batch.is_due(self._training.log_every)
        line = self._log(window_ends=window_ends) if final or window_ends else None
        self._listener.step_ended(batch.number, line)
        improved = self._measure(batch, final=final)
        # One message per step, whatever it is about.
        asked, busy = self._processes.highest_each(self._request(stop), self._writing.is_busy)
        if not busy:
            self._writing.complete()
        if asked == Request.STOP_BY_CALLBACK and not self._is_over:
            return self._stop_early(logged=line is not None)
        if final or self._is_over or improved or asked or self._timing.is_due_after(batch):
            self.save()
        if asked == Request.STOP_BY_SIGNAL and not self._is_over:
            return Outcome("interrupted", self.step, self._best_step, signal=stop.received)
        return None

    @property
    def _is_over(self) -> bool:
        """Whether nothing is left to train: the last step was made, or early stopping has ended the run."""
        if self._deciding.pending_rollback() is not None:
            return False
        return self.step >= self._sampler.total or self._deciding.is_over

    @property
    def _best_step(self) -> int | None:
        return self._deciding.best_step

    def _measure(self, batch: GlobalBatch, *, final: bool) -> bool:
        """Validate and evaluate as far as they are due after a step; returns True if its weights are to be kept.

        Where a metric decides, each evaluation comes with a validation, so that a result has both.
        """
        evaluations, decided = self._run.evaluations, self._run.metric_history
        evaluates = final or (evaluations is not None and evaluations.is_due_after(batch))
        validates = (
            final or batch.is_due(self._training.evaluate_every) or (decided is not None and evaluates)
        )
        improved = validates and self._validate()
        if evaluates or (self._is_over and decided is None):
            improved = self._evaluate() or improved
        return improved

    def _roll_back(self, rollback: Rollback) -> None:
        """Go back to the step that was best for a task, with all state of that step, and drop the task.

        A kill at any moment leaves a run that does the same again when it is resumed: later checkpoints are removed
        before the one of that step is written again, with what was decided.
        """
        store, processes = self._directory.checkpoints, self._processes
        self._writing.wait()
        best = rollback.to
        read, steps = partial(self._state.read, store), processes.from_main(store.steps())
        rollback, checkpoint = read_checkpoint(rollback, self._deciding, store.directory, steps, read)
        self._restore(checkpoint)
        for history in (self.history, self._run.metric_history):
            if history is not None:
                history.forget_after(rollback.to)
        self._deciding.roll_back(rollback)
        self.step, self._saved = rollback.to, -1
        processes.barrier()  # every process has read it
        if processes.is_main:
            for step in reversed(store.steps()):
                if step > rollback.to:
                    store.discard(step)
            if self._run.evaluations is not None:
                self._run.evaluations.forget_after(rollback.to)
        self.save()
        line = rollback_line(rollback, self._deciding.task_names, best)
        self._write(line)
        self._listener.rolled_back(line)

    def _request(self, signal: StopRequest) -> Request:
        """What this process asks all of them for after a step."""
        if signal.received is not None:
            return Request.STOP_BY_SIGNAL
        if self._stops.stopped_by is not None:
            return Request.STOP_BY_CALLBACK
        # One clock decides for all: those of other machines may run at another rate, or be set.
        is_time = self._processes.is_main and self._timing.is_time()
        return Request.SAVE if is_time else Request.NOTHING

    def _stop_early(self, *, logged: bool) -> Outcome:
        """End the run after this step at a callback's request, as at its end: with a train line and a validation."""
        line = None if logged else self._log(window_ends=False)
        stopped_by = self._processes.from_main(self._stops.stopped_by)
        self._listener.stopping(self.step, str(stopped_by), line)
        if self.step not in self.history.steps:
            self._validate()
        self._evaluate()
        self.save()
        return Outcome("finished", self.step, self._best_step, stopped_by=stopped_by)

    def _train_on(self, number: int) -> GlobalBatch:
        """One optimizer step, with what comes before and after it; returns what it trained on."""
        self._clock.start()
        prepared = self._ahead.take(number)
        batch = prepared.batch
        balancing = self._run.balancing
        balancing.before_step(batch.number)
        self._run.mixing.before_step(batch.number)
        rate = self._schedule.rate(batch.number, self._training)
        self._last = result = self._train_step(batch, rate, self._meter, prepared)
        self.step = batch.number
        balancing.after_step(batch.number, result.task_losses, result.losses_after_update)
        self._run.mixing.after_step(batch.number)
        if self._run.device.type == "cpu" or len(self._train_step.guard) >= CHECK_EVERY:
            self._check_finite()
        self._clock.stop()
        return batch

    def _check_finite(self) -> None:
        """Raise NonFiniteLossError if a step since the last check was not finite."""
        self._train_step.guard.check(lambda step: torch.from_numpy(self._sampler[step].tokens > 0))

    def _validate_last_step(self) -> None:
        """Measure and save as after the last step of a run: the step was made before it became the last one."""
        self._validate()
        self._evaluate()
        self._saved = -1
        self.save()

    def _log(self, *, window_ends: bool) -> TrainLine:
        """Write the train line of the steps since the last one.

        The last line of a run may come before its window of ``log_every`` steps ends: if the run is made longer, the
        window continues, and its line is written over all of its steps.
        """
        self._clock.start()
        self._check_finite()  # waits for the device: the time of the steps' work is theirs
        self._clock.stop()
        assert self._last is not None, "a line follows a step"
        line = train_line(
            self._meter,
            self._processes,
            self._task_names,
            step=self.step,
            epoch=self._sampler.epochs_done(self.step),
            learning_rate=self._schedule.rate(self.step, self._training),
            seconds=self._clock.spent,
            result=self._last,
            balancer=self._run.balancing.metrics(),
            shares=self._run.mixing.shares_at(self.step),
            compiled=None if self._run.compiled is None else self._run.compiled.graphs,
        )
        if window_ends:
            self._meter.reset()
            self._clock.take()
        self._write(line)
        return line

    def describe_out_of_memory(self, error: BaseException) -> str:
        """The message for a step that needs more memory than there is."""
        saved = self._directory.checkpoints.steps()
        return describe_out_of_memory(error, self.step + 1, self._training, saved)

    def _write(self, line: Line) -> None:
        if self._processes.is_main:
            self._directory.metrics.write(line)

    def _validate(self) -> bool:
        """Write a valid line; returns True if the present weights are the best so far, by any measure in use."""
        self._check_finite()
        if not len(self._corpus.valid):
            return False
        started = time.perf_counter()
        nll, tokens = self._run.validator.losses(self._run.logprob_model)
        seconds = time.perf_counter() - started
        losses = [n / t if t else math.nan for n, t in zip(nll, tokens, strict=True)]
        line = valid_line(
            self._processes,
            self._task_names,
            step=self.step,
            losses=losses,
            tokens=tokens,
            seconds=seconds,
        )
        self._write(line)
        self._listener.validated(line)
        bad = [i for i, loss in enumerate(losses) if tokens[i] and not math.isfinite(loss)]
        if bad:
            raise NonFiniteLossError(self.step, bad, [], validation=True)
        return self._decided(self.history, self.history.add(self.step, losses))

    def _decided(self, history: ValidationHistory, newly_stopped: list[int]) -> bool:
        """Report which tasks a history has stopped; returns True if it is the one that decides, and keeps this step."""
        if history is not self._deciding:
            return False
        if self._processes.is_main:
            for task in newly_stopped:
                self._listener.task_stopped(history.task_names[task], self.step)
        saved = [*self._writing.steps, self.step]
        # The main process decides: it may be removing a checkpoint that another one still sees.
        return bool(self._processes.from_main(self.step in self._steps_to_keep(saved)))

    def _evaluate(self) -> bool:
        """Write an evaluation line, if the spec evaluates anything; returns True as ``_validate`` does."""
        if self._run.evaluations is None:
            return False
        line = self._run.evaluations.line(self.step)
        self._write(line)
        self._listener.evaluated(line)
        decided = self._run.metric_history
        return decided is not None and self._decided(decided, decided.add_evaluation(line))

    def _evaluate_end(self) -> None:
        """Evaluate the step at which the run ends, unless that was done: a roll-back may have led to it."""
        if self._run.evaluations is None:
            return
        # By the lines of the main process: after a kill the files of this step may be there without its line.
        lines = self._directory.metrics.read().evaluations if self._processes.is_main else []
        if not self._processes.from_main(any(line.step == self.step for line in lines)):
            self._evaluate()

    def _steps_to_keep(self, saved: list[int]) -> set[int]:
        return self._deciding.steps_to_keep(saved, best_per_task=self._run.best_per_task)

    def save(self) -> None:
        """Start to write a checkpoint of this step, unless there is one; all processes take part."""
        self._check_finite()  # weights are never saved after a step that was not finite
        if self._saved == self.step:
            return
        self._saved = self.step
        schedule = {"warmup": self._schedule.warmup, "end": self._schedule.end}
        progress: Progress = {
            "step": self.step,
            "standing": self.history.state_dict(),
            "metric": None if self._run.metric_history is None else self._run.metric_history.state_dict(),
            "total": self._sampler.total,
            "schedule": cast("ScheduleState", schedule),
        }
        self._writing.wait()
        with self._state.captured(progress, self._meter, self._clock.spent, self._listener) as captured:
            keep = self._training.keep_checkpoints
            self._writing.start(self.step, captured, self._steps_to_keep, keep)
        self._timing.restart()

    def resume(self, checkpoint: Checkpoint, schedule: RunSchedule, extension: Extension | None) -> None:
        """Restore the state of a checkpoint, so that the run continues as if it had not been interrupted.

        Args:
            checkpoint: of this run.
            schedule: the learning rate's from now on.
            extension: how the run's end has moved since the checkpoint; None if it has not.
        """
        state = cast("TrainingState", checkpoint.state)
        self.history.load_state_dict(state["progress"]["standing"])
        metric = state["progress"].get("metric")
        if self._run.metric_history is not None and metric is not None:
            self._run.metric_history.load_state_dict(metric)
        self.step = self._saved = state["progress"]["step"]
        self._schedule = schedule
        self._lacks_last_validation = (
            extension is not None and self.step == extension.end and self.history.steps[-1:] != [self.step]
        )
        if extension is not None or self._deciding.steps[-1:] < [self.step]:
            # Training continues, now or earlier, after early stopping had ended it: the next validation decides again.
            self._deciding.reopen()
        self._restore(checkpoint)

    def _restore(self, checkpoint: Checkpoint) -> None:
        """Restore all but the histories and the schedule."""
        self._ahead.forget()
        self._state.restore(checkpoint, self._meter, self._listener)
        self._clock.spent = checkpoint.state["seconds"]
