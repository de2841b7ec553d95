"""What a checkpoint holds of a run, taken from all processes, and given back to them."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch

from mftkit.base.random_state import random_state, seed_generators, set_random_state
from mftkit.runs.checkpoint import (
    MODEL_SHARDS,
    Checkpoint,
    CheckpointError,
    Manifest,
)
from mftkit.training.meter import add_up
from mftkit.training.shards import (
    divided_like,
    divided_optimizer_state,
    empty_like,
    own_parts,
    take_divided,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

    from mftkit.reporting.listener import Listener
    from mftkit.runs.checkpoint import CheckpointStore
    from mftkit.runs.shard_reading import Shards
    from mftkit.training.meter import Meter
    from mftkit.training.run_parts import Run
    from mftkit.training.training_state import ProcessState, Progress, TrainingState


OPTIMIZER_SHARDS = "optimizer."
"""Prefix of the names of the optimizer's divided tensors; then follow the parameter's number and the key."""


@dataclass(frozen=True)
class CapturedState:
    """The state of a run in one process."""

    checkpoint: Checkpoint | None
    """All that is not divided, in the main process."""
    divided: dict[str, Tensor]
    """The divided tensors, in every process."""


class RunState:
    """Takes the state of a run for a checkpoint, and restores it, whatever the number of processes was."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._processes = run.checked.processes
        self._base_content = run.checked.base_content if self._processes.is_main else None

    @contextmanager
    def captured(
        self, progress: Progress, meter: Meter, seconds: float, listener: Listener
    ) -> Iterator[CapturedState]:
        """The present state, for a checkpoint; all processes take part, and it is valid within the block.

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
        divided: dict[str, Tensor] = {}
        of_optimizer = engine.optimizer_state()
        moments = take_divided(OPTIMIZER_SHARDS, of_optimizer["state"], divided)
        with engine.whole(self._saved_parameters()):
            weights = take_divided(MODEL_SHARDS, tuning.state_dict(run.model), divided)
            checkpoint = None
            if processes.is_main:
                state: TrainingState = {
                    "progress": progress,
                    "optimizer": {**of_optimizer, "state": moments},
                    "balancing": run.balancing.state_dict(),
                    "gradients": run.gradients.state_dict(),
                    "mixer": run.mixing.state_dict(),
                    "processes": of_processes,
                    "seconds": seconds,
                }
                if callbacks := listener.state_dict():
                    state["callbacks"] = callbacks
                checkpoint = Checkpoint(weights, dict(state), self._manifest())
            yield CapturedState(checkpoint, divided)

    def copied(self) -> list[Tensor]:
        """Weights and optimizer state as far as this process holds them and copies them for a checkpoint."""
        states = self._run.checked.engine.optimizer.state.values()
        tensors = [*self._saved_parameters(), *(value for state in states for value in state.values())]
        return own_parts(tensors, whole=self._processes.is_main)

    def _manifest(self) -> Manifest:
        corpus = self._run.checked.corpus
        return {
            "data": corpus.fingerprint,
            "content": corpus.content,
            "processes": self._processes.count,
            "base": self._run.own_base,
            "model": self._base_content,
        }

    def read(self, store: CheckpointStore, step: int) -> Checkpoint:
        """The checkpoint of a step; all processes take part, and each reads and verifies the shards that it needs.

        Raises:
            CheckpointError: in every process, if one of them finds that it is damaged.
        """
        checkpoint, fault = None, None
        try:
            checkpoint = store.read(step)
            if checkpoint.shards is not None:
                self._read_shards(checkpoint, checkpoint.shards)
        except CheckpointError as error:
            fault = str(error)
        faults = [fault for fault in self._processes.gather(fault) if fault is not None]
        if faults or checkpoint is None:
            raise CheckpointError(faults[0])
        return checkpoint

    def _read_shards(self, checkpoint: Checkpoint, shards: Shards) -> None:
        """Add the divided tensors to a checkpoint, divided as those of this run are."""
        model = self._run.checked.tuning.state_dict(self._run.model)
        parameters = self._run.checked.engine.parameters
        tensors: dict[str, Tensor] = {}
        for name, described in shards.tensors.items():
            if name.startswith(MODEL_SHARDS):
                key = name.removeprefix(MODEL_SHARDS)
                checkpoint.model[key] = tensors[name] = empty_like(described, model.get(key))
            else:
                index, _, key = name.removeprefix(OPTIMIZER_SHARDS).partition(".")
                tensors[name] = empty_like(described, parameters[int(index)])
                checkpoint.state["optimizer"]["state"].setdefault(int(index), {})[key] = tensors[name]
        shards.read_into(tensors)

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

        Sums go to the first process, and so does the random state of the first; the others draw numbers that follow
        from it and their rank.
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
            drawn = int(torch.randint(2**62, ()))  # the same in each process
            seed_generators(drawn + processes.rank)
