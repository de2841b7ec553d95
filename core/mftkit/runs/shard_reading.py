"""Reads the shards of a checkpoint into tensors that are divided over any number of processes, or whole.

No messages are sent. Each process reads the shards that overlap its own, each of them once, and verifies their
checksums as it reads them.
"""

from __future__ import annotations

import json
import pickle
import zlib
from collections import defaultdict
from io import BytesIO
from typing import TYPE_CHECKING, Any

import torch
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner
from torch.distributed.checkpoint.metadata import TensorStorageMetadata

from mftkit.runs.shard_writing import CHECKSUMS, METADATA, SHARDS
from mftkit.runs.verified_reading import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor
    from torch.distributed.checkpoint.metadata import Metadata
    from torch.distributed.checkpoint.planner import ReadItem


class Shards:
    """The divided tensors of a checkpoint."""

    def __init__(self, checkpoint: Path, files: Mapping[str, list[int]]) -> None:
        """``files`` are the fingerprints in the checkpoint's manifest.

        Raises:
            CheckpointError: the files that describe the shards are missing or altered.
        """
        self._directory = checkpoint / SHARDS
        self._metadata = self._read_metadata(files)
        self._checksums = self._read_checksums(files)
        self.tensors: dict[str, Tensor] = {}
        """Tensors on the device "meta", with the size and dtype of each one that is there."""
        for name, described in self._metadata.state_dict_metadata.items():
            if not isinstance(described, TensorStorageMetadata):
                raise CheckpointError(f"{self._directory} is damaged: {name} is no tensor")
            self.tensors[name] = torch.empty(described.size, dtype=described.properties.dtype, device="meta")

    def read_into(self, tensors: Mapping[str, Tensor]) -> None:
        """Read into tensors, whole or divided, by their names; they may have another dtype.

        Raises:
            CheckpointError: what is needed of the checkpoint is missing, cut short or altered.
        """
        planner = DefaultLoadPlanner(flatten_state_dict=False, flatten_sharded_tensors=False)
        planner.set_up_planner(dict(tensors), self._metadata)
        parts: dict[tuple[str, int], list[ReadItem]] = defaultdict(list)
        for item in planner.create_local_plan().items:
            stored = self._metadata.storage_data[item.storage_index]
            parts[stored.relative_path, stored.offset].append(item)
        # In the order of the files, so that the disk reads ahead.
        for (name, offset), items in sorted(parts.items(), key=lambda part: part[0]):
            tensor = self._read_part(name, offset)
            for item in items:
                target = planner.resolve_tensor(item).detach()
                target.copy_(_narrowed(tensor, item.storage_offsets, item.lengths))

    def whole(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names start with ``prefix``, whole, on the CPU, by the rest of their names."""
        chosen = {
            name: torch.empty_like(tensor, device="cpu")
            for name, tensor in self.tensors.items()
            if name.startswith(prefix)
        }
        self.read_into(chosen)
        return {name.removeprefix(prefix): tensor for name, tensor in chosen.items()}

    def _read_part(self, name: str, offset: int) -> Tensor:
        path = self._directory / name
        try:
            size, crc = self._checksums[name, offset]
            with path.open("rb") as file:
                file.seek(offset)
                content = file.read(size)
        except (OSError, KeyError) as error:
            raise CheckpointError(f"{path} is damaged: {error}") from error
        if len(content) != size or zlib.crc32(content) != crc:
            raise CheckpointError(f"{path} is damaged")
        tensor: Tensor = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
        return tensor

    def _read_metadata(self, files: Mapping[str, list[int]]) -> Metadata:
        try:
            metadata: Metadata = _Unpickler(BytesIO(self._verified(METADATA, files))).load()
        except (pickle.UnpicklingError, AttributeError, ImportError) as error:
            raise CheckpointError(f"{self._directory / METADATA} is damaged: {error}") from error
        return metadata

    def _read_checksums(self, files: Mapping[str, list[int]]) -> dict[tuple[str, int], tuple[int, int]]:
        parts: dict[str, list[list[int]]] = json.loads(self._verified(CHECKSUMS, files))
        return {(name, part[0]): (part[1], part[2]) for name, each in parts.items() for part in each}

    def _verified(self, name: str, files: Mapping[str, list[int]]) -> bytes:
        path = self._directory / name
        try:
            content = path.read_bytes()
            expected = files[f"{SHARDS}/{name}"]
        except (OSError, KeyError) as error:
            raise CheckpointError(f"{path} is damaged: {error}") from error
        if [len(content), zlib.crc32(content)] != expected:
            raise CheckpointError(f"{path} is damaged")
        return content


class _Unpickler(pickle.Unpickler):
    """Reads what describes shards, and refuses anything else: a pickle of someone else's could run any code."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _DESCRIPTIONS:
            return super().find_class(module, name)
        value = getattr(torch, name, None) if module == "torch" else None
        if isinstance(value, torch.dtype | torch.layout | torch.memory_format):
            return value
        raise pickle.UnpicklingError(f"{module}.{name} is not expected in it")


_OF_DCP = "torch.distributed.checkpoint"
_DESCRIPTIONS = {
    *((f"{_OF_DCP}.metadata", name) for name in ("Metadata", "MetadataIndex", "TensorStorageMetadata")),
    *((f"{_OF_DCP}.metadata", name) for name in ("ChunkStorageMetadata", "TensorProperties")),
    (f"{_OF_DCP}.metadata", "_MEM_FORMAT_ENCODING"),
    (f"{_OF_DCP}.filesystem", "_StorageInfo"),
    ("torch", "Size"),
    ("torch.serialization", "_get_layout"),
}


def _narrowed(tensor: Tensor, offsets: Any, lengths: Any) -> Tensor:
    for dimension, (offset, length) in enumerate(zip(offsets, lengths, strict=True)):
        tensor = tensor.narrow(dimension, offset, length)
    return tensor
