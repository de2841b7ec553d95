"""The interface of a tokenization mode: which samples share a row, and how rows become tensors."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar

from mftkit.interfaces.attribute_docs import documented
from mftkit.interfaces.component import Component, OptionsT, required
from mftkit.interfaces.deprecation import renamed_fields

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor


@documented
@renamed_fields(counts="loss_mask")
@dataclass(frozen=True)
class Sample:
    """One sample, cut to ``max_length``; the arrays are views of the memory-mapped cache."""

    index: int
    """Its number in the run's data; error messages identify samples by it."""
    task: int
    tokens: NDArray[np.int32]
    """[n] token ids."""
    loss_mask: NDArray[np.bool_]
    """[n]: True for loss tokens (that count in the loss); the first token never is one."""
    weight: float = 1.0
    """Factor of its tokens in the loss, from its data row. A mode ignores it: core puts it into the batch."""


@documented
@dataclass(frozen=True)
class MicroBatch:
    """The rows of one forward pass, before they are tensors."""

    rows: tuple[tuple[Sample, ...], ...]
    max_length: int
    """Maximum number of tokens in a row (``max_length`` of the spec)."""
    pad_id: int
    """The padding token; it is never a loss token, and real tokens may have the same id."""
    length_step: int = 1
    """S is a multiple of it, or ``max_length``, so that batches have few shapes; ``mftkit.collate`` obeys it."""
    least_rows: int = 1
    """B is at least this number, with rows of padding; ``mftkit.collate`` obeys it."""


@documented
@dataclass(frozen=True)
class Layout:
    """Rows of samples: row r holds ``samples[offsets[r]:offsets[r + 1]]``, in this order."""

    samples: NDArray[np.int64]
    offsets: NDArray[np.int64]
    """[rows + 1], rising strictly from 0 to the number of samples."""


@documented
@renamed_fields(positions="predictor_index", real="token_mask", row_weight="sample_weight")
@dataclass(frozen=True)
class Batch:
    """One forward pass of B rows of S positions, with V loss tokens in ``len(sample_task)`` samples.

    ``targets[v]`` is predicted from the hidden state at ``predictor_index[v]`` of the flattened [B * S] rows,
    its predecessor's, which lies in the same sample.
    """

    input_ids: Tensor
    """[B, S] int64."""
    position_ids: Tensor | None
    """[B, S] int64, restarting at each sample if samples are isolated; None: 0..S-1 in each row."""
    predictor_index: Tensor
    """[V] int64."""
    targets: Tensor
    """[V] int64 token ids."""
    task: Tensor
    """[V] int64."""
    sample: Tensor
    """[V] int64 in 0..len(sample_task)-1."""
    sample_task: Tensor
    """[samples] int64; samples without a loss token are left out."""
    sample_index: tuple[int, ...]
    """``Sample.index`` of the same samples."""
    real_tokens: int
    """Positions that hold a sample's token; the rest is padding."""
    token_mask: Tensor | None = None
    """[B, S] bool: True at positions that hold a sample's token; None: unknown, so padding cannot be distinguished."""
    sample_weight: Tensor | None = None
    """[samples] float64: the samples' weights, set by core after ``collate``; None if all are 1."""
    cu_seqlens: Tensor | None = None
    """[sequences + 1] int32: where the sequences of the flattened [B * S] positions begin, and where the last one ends;
    set by core after ``collate`` for attention that needs it; None: as ``position_ids`` say."""
    max_seqlen: int | None = None
    """Positions of the longest of these sequences."""

    def to(self, device: torch.device) -> Batch:
        """The batch with its tensors on ``device``; the host does not wait for the copies."""
        if device.type == "cpu":
            return self
        held = self.pin_memory() if device.type == "cuda" else self
        return held._with_each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """The batch with its tensors in memory that a CUDA device reads by itself; those that already are stay."""
        return self._with_each(lambda tensor: tensor.pin_memory())

    def _with_each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The batch with each of its tensors changed."""
        held = {field.name: getattr(self, field.name) for field in fields(self)}
        changed = {name: change(value) for name, value in held.items() if hasattr(value, "pin_memory")}
        return Batch(**{**held, **changed})


@documented
class TokenizationMode(Component[OptionsT]):
    """Arranges samples in rows, and makes tensors from rows."""

    keeps_order: ClassVar[bool | None] = None
    """Read by the conformance suite only, where an attribute of the suite goes before it; None: nothing is stated."""

    @required
    def layout(
        self,
        lengths: NDArray[np.int64],
        tasks: NDArray[np.int64],
        order: NDArray[np.int64],
        max_length: int,
    ) -> Layout:
        """Which samples share which row, for one epoch; rows are trained in the order returned.

        ``lengths`` [n] (tokens, at most ``max_length``) and ``tasks`` [n] are indexed by sample; ``order``
        [n] is this epoch's random permutation of the samples, the only source of randomness. Core asserts
        that each sample is used once and that no row is longer than ``max_length``.
        """
        raise NotImplementedError

    @required
    def collate(self, samples: MicroBatch) -> Batch:
        """The tensors of one forward pass; ``mftkit.collate`` does the work for most modes."""
        raise NotImplementedError

    def without_isolation(self) -> TokenizationMode | None:
        """The mode that takes its place if the model cannot keep the samples of a row apart.

        It puts one sample in each row. None: such a model is refused if this mode isolates samples.
        """
        return None

    def describe(self) -> str:
        """How samples share rows, in a few words; for the line in which a run reports which mode it uses."""
        return ""
