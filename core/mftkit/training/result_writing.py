"""Writes the weights of a step as a result: from a model that is whole in memory, or tensor by tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch

from mftkit.base.atomic_files import write_json
from mftkit.base.json_files import read_json_object
from mftkit.models.config import ADAPTER_CONFIG
from mftkit.models.saving import unwrapped
from mftkit.models.streamed_saving import StreamedSaving, checksum, plan_saving
from mftkit.runs.checkpoint import CheckpointError
from mftkit.training.read_back import ReadBack, ReadBackError
from mftkit.training.result_dtype import cast_parameters, result_dtype, written_dtypes
from mftkit.training.weights import restore_weights
from mftkit.training.whole_run import whole_run

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from mftkit.interfaces.tuning import Tuning
    from mftkit.runs.directory import RunDirectory
    from mftkit.training.run_parts import Run


class ResultWriter(Protocol):
    """Writes results of a run; only the main process has one."""

    run: Run
    """Whose model gives config and generation settings to results."""
    read_back: ReadBack
    """Reads back what was written."""

    def write(self, step: int | None, place: Path, name: str) -> None:
        """Write the weights of a step's checkpoint, in the dtype of the result.

        Args:
            step: None: the last one, whose weights are in memory if there are no shards.
            place: a directory that exists.
            name: its path in the run directory, once it is complete.

        Raises:
            CheckpointError: the checkpoint is damaged; files may be left in ``place``.
            ReadBackError: the dtype of the result cannot hold the weights.
        """


def result_writer(run: Run, directory: RunDirectory, last: int) -> ResultWriter:
    """The writer for a run that has ended at step ``last``."""
    checked = run.checked
    if not checked.engine.shards_weights:
        return WholeWriter(run, directory)
    if _exports_state(checked.tuning) and directory.checkpoints.has_shards(last):
        model, dtype = checked.tuning.base_model(run.model), result_dtype(checked)
        saving = plan_saving(model, written_dtypes(model, dtype))
        if saving is not None:
            return StreamedWriter(run, directory, last, saving)
    return WholeWriter(whole_run(run, directory, last), directory)


def _exports_state(tuning: Tuning) -> bool:
    """Whether a tuning exports its state, and inherits no promise that an ``export`` of a subclass does not keep."""
    owner = next(each for each in type(tuning).__mro__ if {"export", "exports_state"} & vars(each).keys())
    return tuning.exports_state and "exports_state" in vars(owner)


class WholeWriter:
    """Has the tuning export the model in memory."""

    def __init__(self, run: Run, directory: RunDirectory) -> None:
        self.run, self.read_back = run, ReadBack(run, directory)
        self._directory = directory

    def write(self, step: int | None, place: Path, name: str) -> None:
        """Restore the weights of a step, and export them."""
        run, directory, read_back = self.run, self._directory, self.read_back
        checked = run.checked
        if step is not None:
            restore_weights(checked.tuning, run.model, directory.checkpoints, step)
        base = checked.model.path if run.own_base is None else str(directory.base)
        trained, written = checked.precision.weights, result_dtype(checked)
        model = checked.tuning.base_model(run.model)
        logits = read_back.logits()
        if written != trained:
            # Rounded and compared in the dtype of training, so that what is read back must equal it to the last digit.
            cast_parameters(model, written)
            cast_parameters(model, trained)
            exact, logits = logits, read_back.logits()
            read_back.check_rounding(exact, logits, written)
            cast_parameters(model, written)
        with unwrapped():
            checked.tuning.export(run.model, place, base)
        if run.own_base is None and checked.model.revision is not None:
            _name_revision(place, checked.model.revision)
        if written != trained:
            cast_parameters(model, trained)
        checked.tokenizer.save_pretrained(place)
        read_back.add(name, place, logits)


class StreamedWriter:
    """Writes a model whose weights are in the shards of checkpoints, of which one is in memory at a time."""

    def __init__(self, run: Run, directory: RunDirectory, last: int, saving: StreamedSaving) -> None:
        self.run, self.read_back = run, ReadBack(run, directory)
        self._store, self._last, self._saving = directory.checkpoints, last, saving
        # A tied weight may have another name in checkpoints than in results.
        state = run.checked.tuning.state_dict(run.model)
        tensors = saving.model.state_dict(keep_vars=True)
        first = {id(tensors[name]): name for name in state}
        self._parameters = {each for each, _ in saving.model.named_parameters(remove_duplicate=False)}
        self._names = {name: first[id(tensors[name])] for name in saving.sources}

    def write(self, step: int | None, place: Path, name: str) -> None:
        """Write the weights of a step, each as it is read."""
        read, checksums = self._store.read_each(self._last if step is None else step), {}

        def read_as_written(source: str) -> Tensor:
            try:
                exact = read(self._names[source])
            except KeyError as error:
                raise CheckpointError(f"the checkpoint lacks {source}") from error
            rounded = exact.to(self._saving.sources[source].dtype)
            if source in self._parameters:
                _check_finite(exact, rounded, f"{name} was not written: {source}")
            checksums[source] = checksum(rounded)
            return rounded

        self._saving.save(place, read_as_written)
        self.run.checked.tokenizer.save_pretrained(place)
        self.read_back.add_streamed(name, place, checksums, result_dtype(self.run.checked))


def _check_finite(exact: Tensor, rounded: Tensor, what: str) -> None:
    if not bool(torch.isfinite(exact).all()):
        raise ReadBackError(f"{what} has NaN or infinities")
    if not bool(torch.isfinite(rounded).all()):
        dtype = str(rounded.dtype).removeprefix("torch.")
        raise ReadBackError(
            f"{what} has numbers that are too large for {dtype}, the dtype of the base. Set model.dtype to "
            '"float32" in a new run'
        )


def _name_revision(place: Path, revision: str) -> None:
    """Name the revision of an adapter's base, beside the base that the tuning has named."""
    file = place / ADAPTER_CONFIG
    if file.is_file():
        write_json(file, {**read_json_object(file), "revision": revision})
