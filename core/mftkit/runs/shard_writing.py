"""Writes divided tensors (torch's DTensor) of a checkpoint in the format of torch.distributed.checkpoint.

Each process writes the shards that it holds, and no process gathers a whole tensor. The processes agree on who writes
what once, with ``ShardPlan``; ``StagedShards.write`` then sends no messages, so a thread may call it while the
processes train on.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch.distributed.checkpoint.default_planner import DefaultSavePlanner
from torch.distributed.checkpoint.filesystem import FileSystemWriter

from mftkit.base.atomic_files import sync

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor
    from torch.distributed.checkpoint.metadata import Metadata, MetadataIndex
    from torch.distributed.checkpoint.planner import SavePlan, WriteItem
    from torch.distributed.checkpoint.storage import WriteResult

SHARDS = "shards"
"""Directory within a checkpoint."""
METADATA, CHECKSUMS = ".metadata", "checksums.json"
BLOCK = 1 << 22

Fingerprint: TypeAlias = list[int]
"""Size in bytes and CRC-32."""
Gather: TypeAlias = "Callable[[SavePlan], list[SavePlan]]"


@dataclass(frozen=True)
class WrittenShards:
    """What a process has written."""

    results: list[WriteResult]
    file: str
    """Its file within ``SHARDS``."""
    fingerprint: Fingerprint
    checksums: list[list[int]]
    """Offset, size and CRC-32 of each shard in the file, in the order of the file."""


class _Planner(DefaultSavePlanner):
    """Takes what is written from staged copies of the shards."""

    def __init__(self) -> None:
        super().__init__(flatten_state_dict=False)
        self.staged: dict[MetadataIndex, Tensor] = {}

    def shard(self, item: WriteItem) -> Tensor:
        """The shard of this process that an item is about."""
        shard = super().resolve_data(item)
        assert isinstance(shard, torch.Tensor), "only tensors are written"
        return shard

    def resolve_data(self, write_item: WriteItem) -> Tensor:
        return self.staged[write_item.index]


class _Writer(FileSystemWriter):
    """Does not record where the checkpoint was written: a run directory may move."""

    def storage_meta(self) -> None:
        return None


class ShardPlan:
    """Which process writes which shard: of copies of one (HSDP) only one is written.

    It is made once, and holds as long as the same tensors are written.
    """

    def __init__(self, tensors: Mapping[str, Tensor], rank: int, gather: Gather) -> None:
        """``gather`` returns the value of each process, in every process: the only message that is sent."""
        self.names = tuple(tensors)
        self._planner = _Planner()
        self._planner.set_up_planner(dict(tensors), is_coordinator=rank == 0)
        plans = gather(self._planner.create_local_plan())
        final, self.metadata = self._planner.create_global_plan(plans)
        self._plan = self._planner.finish_plan(_Writer(".").prepare_global_plan(final)[rank])

    def stage(self, tensors: Mapping[str, Tensor], copy: Callable[[str, Tensor], Tensor]) -> StagedShards:
        """The shards that this process writes; ``copy`` copies a shard of a given name to the host's memory."""
        planner = self._planner
        planner.set_up_planner(dict(tensors))
        planner.staged = {
            item.index: copy(f"{item.index.fqn}{tuple(item.index.offset or ())}", planner.shard(item))
            for item in self._plan.items
        }
        planner.set_up_planner({})  # the tensors themselves need not be kept
        return StagedShards(planner, self._plan, self.metadata)


@dataclass(frozen=True)
class StagedShards:
    """Copies of the shards that this process writes."""

    planner: _Planner
    plan: SavePlan
    metadata: Metadata

    def write(self, checkpoint: Path) -> WrittenShards | None:
        """Write them to the checkpoint's directory, flushed to the disk; None if this process has none."""
        directory = checkpoint / SHARDS
        directory.mkdir(exist_ok=True)
        # Copying ahead is of no use, since the shards are in the host's memory.
        writer = _Writer(directory, per_thread_copy_ahead=0)
        results = writer.write_data(self.plan, self.planner).wait()
        if not results:
            return None
        results = sorted(results, key=lambda result: result.storage_data.offset)
        file = results[0].storage_data.relative_path
        assert {result.storage_data.relative_path for result in results} == {file}, "one file per process"
        fingerprint, checksums = _checksums(directory / file, [r.size_in_bytes for r in results])
        sync(directory)
        return WrittenShards(results, file, fingerprint, checksums)


def finish_shards(
    checkpoint: Path, metadata: Metadata, written: list[WrittenShards | None]
) -> dict[str, Fingerprint]:
    """Describe the shards of all processes in two more files, and return the fingerprints of all files by their paths.

    Only the main process calls it, when all processes have written.
    """
    directory, parts = checkpoint / SHARDS, [part for part in written if part is not None]
    _Writer(directory).finish(metadata, [part.results for part in parts])
    checksums = {part.file: part.checksums for part in parts}
    (directory / CHECKSUMS).write_text(json.dumps(checksums), encoding="utf-8")
    files = {part.file: part.fingerprint for part in parts}
    for name in (METADATA, CHECKSUMS):
        content = (directory / name).read_bytes()
        files[name] = [len(content), zlib.crc32(content)]
    return {f"{SHARDS}/{name}": files[name] for name in sorted(files)}


def _checksums(path: Path, sizes: list[int]) -> tuple[Fingerprint, list[list[int]]]:
    """The fingerprint of a file, and offset, size and CRC-32 of its parts of the given sizes."""
    total, offset, parts = 0, 0, []
    with path.open("rb") as file:
        for size in sizes:
            crc, left = 0, size
            while block := file.read(min(BLOCK, left)):
                crc, total, left = zlib.crc32(block, crc), zlib.crc32(block, total), left - len(block)
            assert not left, "the file has all parts"
            parts.append([offset, size, crc])
            offset += size
        assert not file.read(1), "the parts are all of the file"
    return [offset, total], parts
