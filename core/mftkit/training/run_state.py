"""What a checkpoint holds of a run, gathered from all processes, and given back to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch

from mftkit.runs.checkpoint import Checkpoint, Manifest, random_state, set_random_state
from mftkit.training.meter import add_up
from mftkit.training.shards import divided_like, divided_optimizer_state, whole

if TYPE_CHECKING:
    from torch import nn

    from mftkit.reporting.listener import Listener
    from mftkit.training.meter import Meter
    from mftkit.training.run_parts import Run
    from mftkit.training.training_state import ProcessState, Progress, TrainingState


class RunState:
    """Takes the state of a run for a checkpoint, and restores it, whatever the number of processes was."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._processes = run.checked.processes
        self._base_content = run.checked.base_content if self._processes.is_main else None

    def capture(
        self, progress: Progress, meter: Meter, seconds: float, listener: Listener
    ) -> Checkpoint | None:
        """A checkpoint of the present state, in the main process; None in the others.

        Args:
            progress: how far the run is.
            meter: the sums since the last train line.
            seconds: spent in steps since then.
            listener: whose callbacks may have a state.
        """
        run, processes = self._run, self._processes
        engine, tuning = run.checked.engine, run.checked.tuning
        own: ProcessState = {"random": random_state(), "meter": meter.state_dict()}
        of_processes = processes.gather(own)
        with engine.whole(self._saved_parameters()):
            weights = whole(tuning.state_dict(run.model), keep=processes.is_main)
        optimizer = whole(engine.optimizer_state(), keep=processes.is_main)
        if not processes.is_main:
            return None
        state: TrainingState = {
            "progress": progress,
            "optimizer": optimizer,
            "balancing": run.balancing.state_dict(),
            "gradients": run.gradients.state_dict(),
            "mixer": run.mixing.state_dict(),
            "processes": of_processes,
            "seconds": seconds,
        }
        if callbacks := listener.state_dict():
            state["callbacks"] = callbacks
        corpus = run.checked.corpus
        manifest: Manifest = {
            "data": corpus.fingerprint,
            "content": corpus.content,
            "processes": processes.count,
            "base": run.own_base,
            "model": self._base_content,
        }
        return Checkpoint(weights, dict(state), manifest)

    def restore(self, checkpoint: Checkpoint, meter: Meter, listener: Listener) -> None:
        """Give all parts of the run, ``meter`` and ``listener`` the state of a checkpoint."""
        run, state = self._run, cast("TrainingState", checkpoint.state)
        engine, tuning = run.checked.engine, run.checked.tuning
        with engine.whole(self._saved_parameters(), written=True):
            tuning.load_state_dict(run.model, divided_like(checkpoint.model, tuning.state_dict(run.model)))
        engine.load_optimizer_state(divided_optimizer_state(state["optimizer"], engine.parameters))
        run.balancing.load_state_dict(state["balancing"])
        run.gradients.load_state_dict(state["gradients"])
        run.mixing.load_state_dict(state.get("mixer"))
        listener.load_state_dict(state.get("callbacks", {}))
        self._restore_process(state["processes"], meter)

    def _saved_parameters(self) -> list[nn.Parameter]:
        """The parameters that a checkpoint holds: those of an adapter, or all."""
        adapter = self._run.checked.tuning.saves_adapter
        return [p for p in self._run.model.parameters() if p.requires_grad or not adapter]

    def _restore_process(self, saved: list[ProcessState], meter: Meter) -> None:
        """Restore the state of this process, or divide what another number of processes had.

        Sums go to the first process. A random state has no counterpart then: as at the start, each process draws
        numbers that depend on the seed and its rank, and on nothing before.
        """
        processes = self._processes
        if len(saved) == processes.count:
            own = saved[processes.rank]
            meter.load_state_dict(own["meter"])
            set_random_state(own["random"])
            return
        meter.load_state_dict(add_up([each["meter"] for each in saved], is_main=processes.is_main))
        set_random_state(saved[0]["random"])
        if processes.rank:
            torch.manual_seed(torch.initial_seed() + processes.rank)
