"""The model of a run whose processes hold shards of it, whole in one process: for writing results."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mftkit.training.engine_choice import no_engine
from mftkit.training.model_loading import load_model
from mftkit.training.weights import restore_weights

if TYPE_CHECKING:
    from mftkit.runs.directory import RunDirectory
    from mftkit.training.run_parts import Run


def whole_run(run: Run, directory: RunDirectory, step: int) -> Run:
    """The run as one process would hold it, with the weights of its checkpoint of ``step``, on the CPU.

    It is loaded once more, since no process has all weights. Only the main process calls this.
    """
    processes = run.checked.processes.alone()
    checked = replace(run.checked, processes=processes, engine=no_engine(processes.group))
    own_base = directory.base_checkpoint(False) if checked.needs_own_base else None
    model, _ = load_model(checked, own_base)
    restore_weights(checked.tuning, model, directory.checkpoints, step)
    return replace(run, checked=checked, model=model, parallel_model=model)
