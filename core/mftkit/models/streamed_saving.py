"""Writes a model in transformers' format tensor by tensor: the files that ``save_pretrained`` writes of a whole one."""

from __future__ import annotations

import json
import zlib
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch

from mftkit.base.atomic_files import write_text
from mftkit.models.safetensors_layout import layout_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor
    from transformers import PreTrainedModel

LARGEST_FILE = "50GB"
"""What ``save_pretrained`` writes to one file at most."""
_PATTERN = "model{suffix}.safetensors"


@dataclass(frozen=True)
class StreamedSaving:
    """How a model is written without its values at hand."""

    model: PreTrainedModel
    """Its names, sizes and config; its weights may be elsewhere, or divided over processes."""
    sources: dict[str, Tensor]
    """The model's tensors without tied ones, on the device "meta", in the dtypes in which they are written."""
    written: dict[str, Tensor]
    """The tensors of the files, likewise: a tensor of stacked experts becomes several."""

    def save(self, directory: Path, read: Callable[[str], Tensor], largest: int | str = LARGEST_FILE) -> None:
        """Write the files of ``save_pretrained``.

        Args:
            directory: that exists.
            read: returns a tensor of the model by its name; called once for each of ``sources``, so that one of them
                is in memory at a time.
            largest: size of a file, as in ``save_pretrained``.
        """
        from huggingface_hub import split_state_dict_into_shards_factory

        self._save_configs(directory)
        split = split_state_dict_into_shards_factory(
            self.written, get_storage_size=_bytes, filename_pattern=_PATTERN, max_shard_size=largest
        )
        places: dict[str, tuple[Any, int]] = {}
        with ExitStack() as stack:
            for name, held in split.filename_to_tensors.items():
                layout = layout_of({each: self.written[each] for each in held}, {"format": "pt"})
                file = stack.enter_context((directory / name).open("wb"))
                file.truncate(layout.size)
                file.write(layout.header)
                places |= {each: (file, offset) for each, offset in layout.offsets.items()}
            for name in self.sources:
                for part, tensor in _reverted(self.model, {name: read(name)}).items():
                    file, offset = places.pop(part)
                    file.seek(offset)
                    file.write(raw(tensor))
        assert not places, "every tensor was written"
        if split.is_sharded:
            metadata = {"total_parameters": self.model.num_parameters(), **split.metadata}
            index = {"metadata": metadata, "weight_map": split.tensor_to_filename}
            text = json.dumps(index, indent=2, sort_keys=True) + "\n"
            write_text(directory / "model.safetensors.index.json", text)

    def _save_configs(self, directory: Path) -> None:
        model, config = self.model, cast("Any", self.model.config)
        dtype = next(t.dtype for t in self.sources.values() if t.is_floating_point())
        config.dtype = str(dtype).removeprefix("torch.")
        config.architectures = [type(model).__name__.removeprefix("FSDP")]
        config.save_pretrained(directory)
        if model.can_generate():
            model.generation_config.save_pretrained(directory)


def plan_saving(model: PreTrainedModel, dtypes: Mapping[str, torch.dtype]) -> StreamedSaving | None:
    """How to write a model tensor by tensor; None if a tensor of its files needs more than one of the model.

    Args:
        model: whose state has the names of what will be read; its values are not used.
        dtypes: in which its tensors are written.
    """
    if model.is_remote_code() or getattr(model, "hf_quantizer", None) is not None:
        return None
    try:
        from transformers.modeling_utils import remove_tied_weights_from_state_dict

        described = {
            name: torch.empty(tensor.shape, dtype=dtypes[name], device="meta")
            for name, tensor in model.state_dict().items()
            if name not in (model._keys_to_ignore_on_save or ())
        }
        sources = remove_tied_weights_from_state_dict(dict(described), model)
        written = _reverted(model, dict(sources))
        single: dict[str, Tensor] = {}
        for name, tensor in sources.items():
            single |= _reverted(model, {name: tensor})
    except (
        ImportError,
        KeyError,
        RuntimeError,
        TypeError,
        ValueError,
    ):  # of a version that saves otherwise, too
        return None
    if {name: _kind(t) for name, t in written.items()} != {name: _kind(t) for name, t in single.items()}:
        return None
    return StreamedSaving(model, sources, written)


def raw(tensor: Tensor) -> Any:
    """The bytes of a tensor on the CPU, without a copy if it is contiguous."""
    return memoryview(cast("Any", tensor.contiguous().reshape(-1).view(torch.uint8).numpy()))


def checksum(tensor: Tensor) -> int:
    """CRC-32 of a tensor's bytes."""
    return zlib.crc32(raw(tensor))


def _reverted(model: PreTrainedModel, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as checkpoints of the model have them: transformers stacks experts when it loads them."""
    from transformers.core_model_loading import revert_weight_conversion

    return cast("dict[str, Tensor]", revert_weight_conversion(model, tensors))


def _kind(tensor: Tensor) -> tuple[torch.Size, torch.dtype]:
    return tensor.shape, tensor.dtype


def _bytes(tensor: Tensor) -> int:
    return tensor.nbytes
