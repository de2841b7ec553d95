"""Writes checkpoints while the run trains on: at most one at a time, from copies in the host's memory."""

from __future__ import annotations

import shutil
import threading
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from mftkit.base.atomic_files import complete_directory, disk_errors
from mftkit.runs.checkpoint import Checkpoint, surplus
from mftkit.runs.shard_writing import ShardPlan, StagedShards, WrittenShards, finish_shards
from mftkit.training.host_copies import HostCopies
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    from mftkit.processes import Processes
    from mftkit.runs.checkpoint import CheckpointStore
    from mftkit.training.run_state import CapturedState


@dataclass(frozen=True)
class _Written:
    """What a process has written of a checkpoint with shards."""

    own: dict[str, list[int]]
    """Fingerprints of the files that only the main process writes."""
    shards: WrittenShards | None


@dataclass(frozen=True)
class _Pending:
    """A checkpoint that is being written."""

    step: int
    checkpoint: Checkpoint | None
    """In the main process."""
    staged: StagedShards | None
    """If the checkpoint has shards."""
    surplus: list[int]
    """Steps whose checkpoints are removed once this one is complete."""
    work: Future[Any] | None
    """Writing in this process; None if it has nothing to write."""


class CheckpointWriting:
    """Writes the checkpoints of a session.

    All processes call ``start``, ``complete`` and ``wait`` at the same points. What is divided over processes is
    written by each of them, and the checkpoint gets its name once all have written; otherwise the main process writes
    it alone.
    """

    def __init__(
        self,
        store: CheckpointStore,
        processes: Processes,
        saved: Callable[[int, Path], None],
        *,
        asynchronous: bool,
    ) -> None:
        """``saved`` is called in the main process with step and path of each checkpoint that is complete."""
        self._store = store
        self._processes = processes
        self._saved = saved
        self._asynchronous = asynchronous
        self._copies = HostCopies()
        self._has_reserved = False
        self._plan: ShardPlan | None = None
        self._pending: _Pending | None = None
        self._removal: Future[Any] | None = None
        """Removes files of checkpoints that are not kept."""

    @property
    def steps(self) -> list[int]:
        """Steps with a checkpoint, oldest first, as they will be once the one that is being written is complete."""
        steps, pending = set(self._store.steps()), self._pending
        if pending is not None:
            steps = (steps | {pending.step}) - set(pending.surplus)
        return sorted(steps)

    @property
    def is_busy(self) -> bool:
        """Whether this process is still writing."""
        return self._pending is not None and self._pending.work is not None and not self._pending.work.done()

    def reserve(self, copied: Callable[[], list[Tensor]]) -> None:
        """On the first call, start to get memory for what the first checkpoint will copy of this process."""
        if self._asynchronous and not self._has_reserved:
            self._has_reserved = True
            self._copies.reserve(copied())

    def start(
        self, step: int, captured: CapturedState, keep: Callable[[list[int]], set[int]], newest: int
    ) -> None:
        """Start to write a checkpoint, after the one before is complete.

        Args:
            step: whose state was captured.
            captured: may change as soon as this returns.
            keep: which of the given steps must be kept beside the newest.
            newest: number of the newest checkpoints to keep.
        """
        self.wait()
        checkpoint, staged = self._staged(captured)
        if staged is not None:
            if self._processes.is_main:
                self._store.begin(step)
            self._processes.barrier()
        steps = sorted({*self._store.steps(), step})
        removed = surplus(steps, newest, keep(steps)) if self._processes.is_main else []
        work: Callable[[], Any] | None = None
        if staged is not None:
            work = partial(self._write_part, step, checkpoint, staged)
        elif checkpoint is not None:
            work = partial(self._store.write, step, checkpoint)
        future = None if work is None else _run(work, in_thread=self._asynchronous)
        self._pending = _Pending(step, checkpoint, staged, removed, future)
        if not self._asynchronous:
            self.wait()

    def complete(self) -> None:
        """Complete the checkpoint that is being written, if there is one; no process may be busy with it any more.

        Raises what went wrong in writing it.
        """
        pending, self._pending = self._pending, None
        if pending is None:
            return
        if pending.staged is not None:
            self._complete_shards(pending)
        elif pending.work is not None:
            pending.work.result()
        if self._processes.is_main:
            hidden = [self._store.hide(step) for step in pending.surplus]
            # In a thread, too: to free the blocks of large files takes as long as to copy their content.
            self._removal = _run(partial(_remove, hidden), in_thread=self._asynchronous)
            self._saved(pending.step, self._store.path(pending.step))

    def wait(self) -> None:
        """Wait until the checkpoint that is being written is complete, in all processes."""
        if self._pending is not None:
            if self._pending.work is not None:
                self._pending.work.exception()  # waits; ``complete`` raises it
            self.complete()
            self._processes.barrier()  # no process runs ahead of a checkpoint that is not there yet
        if self._removal is not None:
            self._removal.result()
            self._removal = None

    def end(self) -> None:
        """Wait as ``wait`` does, and free the memory of the copies: no other checkpoint follows."""
        self.wait()
        self._copies, self._plan = HostCopies(), None

    def wait_alone(self) -> None:
        """After an error in this process: complete the checkpoint as far as that needs no other process."""
        pending = self._pending
        if pending is not None and pending.staged is None:
            with suppress(Exception):  # the error itself matters more
                self.complete()

    def _staged(self, captured: CapturedState) -> tuple[Checkpoint | None, StagedShards | None]:
        """Copies of what this process writes; what is not divided is copied only if the run trains on meanwhile."""
        copies, checkpoint = self._copies, captured.checkpoint
        copies.begin()
        if checkpoint is not None and self._asynchronous:
            checkpoint = Checkpoint(
                copies.nested("model", checkpoint.model),
                copies.nested("state", checkpoint.state),
                checkpoint.manifest,
                checkpoint.shards,
            )
        staged = None
        if captured.divided:
            if self._plan is None or self._plan.names != tuple(captured.divided):
                self._plan = ShardPlan(captured.divided, self._processes.rank, self._processes.gather)
            staged = self._plan.stage(captured.divided, copies.tensor)
        copies.end()
        return checkpoint, staged

    def _write_part(self, step: int, checkpoint: Checkpoint | None, staged: StagedShards) -> _Written:
        path = self._store.path(step)
        with disk_errors(path):
            directory = self._store.partial(step)
            own = {}
            if checkpoint is not None:
                own = self._store.write_own(directory, checkpoint, has_shards=True)
            return _Written(own, staged.write(directory))

    def _complete_shards(self, pending: _Pending) -> None:
        assert pending.work is not None, "each process writes a part"
        assert pending.staged is not None, "it has shards"
        error = pending.work.exception()
        text = str(error) if isinstance(error, MftError) else repr(error)
        faults = self._processes.gather(None if error is None else text)
        if any(faults) and self._processes.is_main:
            shutil.rmtree(self._store.partial(pending.step), ignore_errors=True)
        if error is not None:
            raise error
        for rank, fault in enumerate(faults):
            if fault is not None:
                raise MftError(f"process {rank}: {fault}")
        parts: list[_Written] = self._processes.gather(pending.work.result())
        if pending.checkpoint is None:
            return
        path = self._store.path(pending.step)
        with disk_errors(path):
            directory = self._store.partial(pending.step)
            shards = finish_shards(directory, pending.staged.metadata, [part.shards for part in parts])
            files = parts[0].own | shards
            self._store.write_manifest(directory, pending.step, pending.checkpoint.manifest, files)
            complete_directory(path)


def _remove(directories: list[Path]) -> None:
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)


def _run(work: Callable[[], Any], *, in_thread: bool) -> Future[Any]:
    """Do the work here or in a thread, which a second signal does not wait for."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    if in_thread:
        threading.Thread(target=run, name="checkpoint", daemon=True).start()
    else:
        run()
    return future
