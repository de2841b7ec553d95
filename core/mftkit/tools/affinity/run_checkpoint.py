"""The state of a run that gradients are taken at."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mftkit.runs.checkpoint import Checkpoint, CheckpointError
from mftkit.runs.directory import RunDirectory, differences
from mftkit_registry import MftError

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.runs.base_checkpoint import BaseCheckpoint
    from mftkit.spec import Spec

SAME = ("model", "tuning")
"""Sections of the spec that weights depend on."""


@dataclass(frozen=True)
class RunState:
    """A checkpoint, and the run's own base where it has one."""

    path: Path
    checkpoint: Checkpoint
    place: BaseCheckpoint


def state_of_run(spec: Spec, run: Path, step: int | None) -> RunState:
    """The checkpoint of a step of a run; None: of its best step, or else its newest.

    Raises:
        MftError: it has none, or is the run of another model or tuning.
    """
    directory = RunDirectory(run)
    steps = directory.checkpoints.steps()
    if not steps:
        raise MftError(f"--run: {run} holds no checkpoint; give the directory of a run")
    end = directory.end()
    best = end.best_step if end else None
    wanted = step if step is not None else best if best in steps else steps[-1]
    if wanted not in steps:
        kept = ", ".join(map(str, steps))
        raise MftError(f"--step: {run} has no checkpoint of step {wanted}; there are those of: {kept}")
    _refuse_other(spec, run)
    try:
        checkpoint = directory.checkpoints.read(wanted)
    except CheckpointError as error:
        raise MftError(f"--run: {error}; give another --step") from error
    return RunState(directory.checkpoints.path(wanted), checkpoint, directory.base_place(fresh=False))


def _refuse_other(spec: Spec, run: Path) -> None:
    try:
        before = json.loads((run / "spec.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MftError(f"--run: {run / 'spec.json'} cannot be read: {error}") from error
    now = spec.dump()
    differing = sorted(differences({k: before.get(k) for k in SAME}, {k: now[k] for k in SAME}))
    if differing:
        raise MftError(
            f"--run: {run} is of another model than the spec names (differs in {', '.join(differing[:6])}); give "
            f"{run / 'spec.json'} as SPEC"
        )
