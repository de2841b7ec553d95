"""The checkpoint of a run at which gradients are measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mftkit.base.json_diff import differing_paths
from mftkit.base.json_files import read_json_object
from mftkit.runs.checkpoint import CheckpointError
from mftkit.runs.directory import RunDirectory
from mftkit.runs.reference import find_weights
from mftkit_registry import MftError

if TYPE_CHECKING:
    from torch import Tensor

    from mftkit.runs.base_checkpoint import BaseCheckpoint
    from mftkit.runs.checkpoint import Manifest
    from mftkit.spec import Spec

SECTIONS = ("model", "tuning")
"""Sections of the spec that determine which weights fit."""


@dataclass(frozen=True)
class RunCheckpoint:
    """A checkpoint of a run, and the run's own base if it has one."""

    path: Path
    weights: dict[str, Tensor]
    manifest: Manifest
    base: BaseCheckpoint


def weights_to_measure(spec: Spec, reference: str, step: int | None) -> tuple[Spec, RunCheckpoint | None]:
    """The spec and the checkpoint at which gradients are measured, for ``--run`` and ``--step``.

    Weights that are in no checkpoint (a result, a directory of a model or an adapter, a hub id) become what the spec
    starts from; then there is no checkpoint.

    Raises:
        MftError: there are no such weights, or they are of a run with another model or tuning than the spec.
    """
    directory = Path(reference).expanduser()
    if step is not None or (directory / "checkpoints").is_dir():
        return spec, find_checkpoint(spec, directory, step)
    weights = find_weights(reference, "--run")
    if weights.run is not None and weights.in_checkpoint is not None:
        return spec, find_checkpoint(spec, weights.run, weights.in_checkpoint)
    model = spec.model.model_copy(update={"start_from": reference})
    return spec.model_copy(update={"model": model}), None


def find_checkpoint(spec: Spec, run: Path, step: int | None) -> RunCheckpoint:
    """The checkpoint of a step of a run; None: of its best step, or else the newest.

    Raises:
        MftError: the run has none, or has another model or tuning than the spec.
    """
    directory = RunDirectory(run)
    steps = directory.checkpoints.steps()
    if not steps:
        raise MftError(f"--run: {run} has no checkpoint; give the directory of a run")
    if step is None:
        end = directory.end()
        best = end.best_step if end else None
        step = best if best in steps else steps[-1]
    if step not in steps:
        available = ", ".join(map(str, steps))
        raise MftError(f"--step: {run} has no checkpoint of step {step}; it has those of steps {available}")
    _check_same_model(spec, run)
    try:
        weights, manifest = directory.checkpoints.read_weights(step)
    except CheckpointError as error:
        raise MftError(f"--run: {error}; give another --step") from error
    base = directory.base_checkpoint(fresh=False)
    return RunCheckpoint(directory.checkpoints.path(step), weights, manifest, base)


def _check_same_model(spec: Spec, run: Path) -> None:
    file = run / "spec.json"
    try:
        before = read_json_object(file)
    except (OSError, ValueError) as error:
        raise MftError(f"--run: {file} cannot be read: {error}") from error
    now = spec.dump()
    differing = sorted(differing_paths({k: before.get(k) for k in SECTIONS}, {k: now[k] for k in SECTIONS}))
    if differing:
        raise MftError(
            f"--run: {run} has another model than the spec (differs in {', '.join(differing[:6])}); give {file} as SPEC"
        )
