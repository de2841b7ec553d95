"""The layout of a safetensors file: where each tensor lies, so that a file is read or written in one pass.

The library itself copies every tensor of a file between memory and the file at once, or maps the file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
    "C64": torch.complex64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}
"""The dtypes of the format by their names in it."""
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_ALIGNMENT = 8
_LENGTH = 8
"""Bytes of the number before the header: its length."""


@dataclass(frozen=True)
class Layout:
    """The beginning of a file, and where each tensor's bytes begin and the file ends."""

    header: bytes
    offsets: dict[str, int]
    size: int


def layout_of(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Layout:
    """The layout that the library gives to a file of these tensors, which may be on the device "meta".

    Raises KeyError for a dtype that the format does not have.
    """
    # The widest first, so that each of them is aligned; then by name, as the library orders them.
    names = sorted(tensors, key=lambda name: (-_rank(tensors[name].dtype), name))
    described: dict[str, object] = {"__metadata__": dict(metadata)}
    ends, end = {}, 0
    for name in names:
        tensor = tensors[name]
        begin, end = end, end + tensor.nbytes
        ends[name] = begin
        described[name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(described, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    header = len(text).to_bytes(_LENGTH, "little") + text
    return Layout(header, {name: len(header) + begin for name, begin in ends.items()}, len(header) + end)


def tensors_in(content: Tensor) -> dict[str, Tensor]:
    """The tensors of a file whose bytes are ``content`` [size] uint8, as views of it.

    Raises:
        KeyError, ValueError, RuntimeError: it is no such file, or has a dtype that is not known here.
    """
    start = _LENGTH + int.from_bytes(bytes(content[:_LENGTH].tolist()), "little")
    header = json.loads(content[_LENGTH:start].numpy().tobytes())
    header.pop("__metadata__", None)
    found = {}
    for name, each in header.items():
        begin, end = each["data_offsets"]
        part = content[start + begin : start + end]
        found[name] = part.view(DTYPES[each["dtype"]]).view(each["shape"])
    return found


def _rank(dtype: torch.dtype) -> int:
    return dtype.itemsize
