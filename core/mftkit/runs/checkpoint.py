"""Checkpoints: complete or absent, verified before they are used, and pruned."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, TypedDict, cast

import torch
from safetensors.torch import save_file

from mftkit.base.atomic_files import begin_directory, disk_errors, new_directory, temporary, write_json
from mftkit.base.checksums import fingerprint, verify_checksum, with_checksum
from mftkit.base.json_files import read_json_object
from mftkit.runs.shard_reading import Shards
from mftkit.runs.shard_writing import SHARDS
from mftkit.runs.verified_reading import CheckpointError as CheckpointError
from mftkit.runs.verified_reading import read_state, read_tensors
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor

    from mftkit.interfaces.balancer import Balancer
    from mftkit.interfaces.callback import Callback
    from mftkit.interfaces.gradients import GradientCombiner
    from mftkit.interfaces.mixer import Mixer

MODEL, STATE, MANIFEST = "model.safetensors", "state.pt", "manifest.json"
MODEL_SHARDS = "model."
"""Prefix of the names of weights among divided tensors."""
_NAME = re.compile(r"step-(\d{8,})")


class Manifest(TypedDict, total=False):
    """manifest.json of a checkpoint: what it belongs to, and its files."""

    step: int
    data: str
    """Fingerprint of the run's data."""
    content: str
    """Fingerprint of its samples, wherever it lies; not in checkpoints of the first versions, like ``model``."""
    processes: int
    base: dict[str, list[int]] | None
    """Fingerprints of the base that the run keeps; None if it keeps none."""
    model: str | None
    """Fingerprint of the content of ``model.path``; None for a random start."""
    files: dict[str, list[int]]
    """Fingerprints of the checkpoint's own files."""


@dataclass(frozen=True)
class Checkpoint:
    """Everything that a run needs to resume as if it had never stopped."""

    model: dict[str, Tensor]
    state: dict[str, Any]
    """Optimizer, balancer, random number generators, progress: what ``torch.load(weights_only=True)`` reads."""
    manifest: Manifest
    """What it belongs to: step, data fingerprint, number of processes."""
    shards: Shards | None = None
    """The tensors that were divided over processes, which are in neither ``model`` nor ``state``."""


class CheckpointStore:
    """The ``checkpoints`` directory of a run."""

    def __init__(self, directory: Path, check: Callable[[], None] = lambda: None) -> None:
        """``check`` is called before a checkpoint is written, and raises MftError if it must not be."""
        self.directory = directory
        self._check = check

    def path(self, step: int) -> Path:
        """The path of the checkpoint of a step."""
        return self.directory / f"step-{step:08d}"

    def partial(self, step: int) -> Path:
        """Where the checkpoint of a step is written before it gets its path."""
        return temporary(self.path(step))

    def steps(self) -> list[int]:
        """Steps with a checkpoint, oldest first."""
        if not self.directory.is_dir():
            return []
        names = (_NAME.fullmatch(entry.name) for entry in self.directory.iterdir() if entry.is_dir())
        return sorted(int(match[1]) for match in names if match)

    def write(self, step: int, checkpoint: Checkpoint) -> Path:
        """Write it beside its path, flush it, rename it: a crash leaves it complete or absent."""
        path = self.path(step)
        self._check()
        with new_directory(path) as partial:
            files = self.write_own(partial, checkpoint)
            self.write_manifest(partial, step, checkpoint.manifest, files)
        return path

    def begin(self, step: int) -> None:
        """Make the directory into which several processes write a checkpoint."""
        self._check()
        with disk_errors(self.path(step)):
            begin_directory(self.path(step))

    def write_own(
        self, directory: Path, checkpoint: Checkpoint, *, has_shards: bool = False
    ) -> dict[str, list[int]]:
        """Write all but shards; returns the files' fingerprints. Beside shards there may be no other weights."""
        names = [STATE]
        if checkpoint.model or not has_shards:
            save_file(checkpoint.model, directory / MODEL)
            names = [MODEL, STATE]
        torch.save(checkpoint.state, directory / STATE)
        return {name: fingerprint(directory / name) for name in names}

    def write_manifest(
        self, directory: Path, step: int, manifest: Manifest, files: dict[str, list[int]]
    ) -> None:
        """Write the manifest, after all ``files``."""
        write_json(directory / MANIFEST, with_checksum({**manifest, "step": step, "files": files}))

    def read(self, step: int) -> Checkpoint:
        """The checkpoint of a step, verified; its shards are verified when they are read.

        Raises:
            CheckpointError: a file is missing, cut short or altered.
        """
        path = self.path(step)
        weights, manifest, shards = self._weights(step)
        return Checkpoint(weights, read_state(path / STATE, _expected(manifest, STATE)), manifest, shards)

    def read_weights(
        self, step: int, into: Mapping[str, Tensor] | None = None
    ) -> tuple[dict[str, Tensor], Manifest]:
        """The weights of a step's checkpoint, whole, and its manifest, without what only training needs.

        Args:
            step: the checkpoint's.
            into: tensors into which weights of their names are read if the checkpoint has shards. No second copy of
                them is then made.

        Raises:
            CheckpointError: a file is missing, cut short or altered.
        """
        weights, manifest, shards = self._weights(step)
        if shards is not None:
            own = {f"{MODEL_SHARDS}{name}": tensor for name, tensor in (into or {}).items()}
            chosen = {
                name: own[name]
                if name in own and own[name].shape == described.shape
                else torch.empty_like(described, device="cpu")
                for name, described in shards.tensors.items()
                if name.startswith(MODEL_SHARDS)
            }
            shards.read_into(chosen)
            weights |= {name.removeprefix(MODEL_SHARDS): tensor for name, tensor in chosen.items()}
        return weights, manifest

    def read_each(self, step: int) -> Callable[[str], Tensor]:
        """A function that reads one weight of a step's checkpoint by its name, whole, on the CPU.

        Only what is not in shards is in memory before. The function raises CheckpointError for a shard that is damaged,
        and KeyError for a weight that the checkpoint does not have.

        Raises:
            CheckpointError: a file is missing, cut short or altered.
        """
        weights, _, shards = self._weights(step)

        def read(name: str) -> Tensor:
            if shards is None or name in weights:
                return weights[name]
            key = f"{MODEL_SHARDS}{name}"
            tensor = torch.empty_like(shards.tensors[key], device="cpu")
            shards.read_into({key: tensor})
            return tensor

        return read

    def has_shards(self, step: int) -> bool:
        """Whether weights or optimizer of a step's checkpoint are in shards; raises CheckpointError as ``manifest``."""
        return any(name.startswith(f"{SHARDS}/") for name in self.manifest(step).get("files", {}))

    def _weights(self, step: int) -> tuple[dict[str, Tensor], Manifest, Shards | None]:
        path, manifest = self.path(step), self.manifest(step)
        try:
            files = manifest["files"]
            is_divided = any(name.startswith(f"{SHARDS}/") for name in files)
            weights = {}
            if not is_divided or MODEL in files:
                weights = read_tensors(path / MODEL, _expected(manifest, MODEL))
            return weights, manifest, Shards(path, files) if is_divided else None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"{path} is damaged: {error}") from error

    def manifest(self, step: int) -> Manifest:
        """The manifest of a step's checkpoint, whose files are not verified. Raises CheckpointError without one."""
        path = self.path(step)
        try:
            manifest = read_json_object(path / MANIFEST)
            verify_checksum(manifest)
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path} is damaged: {MANIFEST}: {error}") from error
        return cast("Manifest", manifest)

    def discard(self, step: int) -> None:
        """Remove a checkpoint; it is hidden first, so that a kill leaves no half of one under its name."""
        shutil.rmtree(self.hide(step))

    def hide(self, step: int) -> Path:
        """Make a checkpoint one that is not there, and return where its files are, for their removal."""
        doomed = temporary(self.path(step))
        self.path(step).rename(doomed)
        return doomed

    def clear_partial(self) -> None:
        """Remove what a killed process left half written."""
        if self.directory.is_dir():
            for entry in self.directory.glob(".*"):
                shutil.rmtree(entry, ignore_errors=True)


def _expected(manifest: Manifest, name: str) -> list[int]:
    """The fingerprint of a file by the manifest; that of no file if it is not there."""
    return manifest.get("files", {}).get(name, [-1, 0])


def surplus(steps: list[int], keep: int, protected: set[int]) -> list[int]:
    """The steps whose checkpoints need not be kept: all but the ``keep`` newest and the ``protected`` ones.

    ``steps`` are those with a checkpoint, oldest first.
    """
    return [step for step in steps[:-keep] if step not in protected]


def check_state(key: str, name: str, component: Balancer | Callback | GradientCombiner | Mixer) -> None:
    """Refuse a component of the spec's ``key`` whose state a checkpoint cannot restore."""
    buffer = BytesIO()
    try:
        torch.save(component.state_dict(), buffer)
        buffer.seek(0)
        torch.load(buffer, weights_only=True)
    except Exception as error:
        raise MftError(
            f"{key}: {name}: a checkpoint cannot restore what state_dict() returns ({str(error).splitlines()[0]}); fix "
            "the plugin: a state may hold tensors, numbers, strings, and lists and dicts of them."
        ) from error
