"""What the optimizers of bitsandbytes share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import mftkit
from mftkit_plugins.optimizers.adam_options import AdamOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from torch import Tensor

OptionsT = TypeVar("OptionsT", bound=AdamOptions)
BLOCK = 256
"""Numbers that share a scale."""
LEAST_SIZE = 4096
"""Smaller parameters keep a state of 32 bits."""
LEAST_PAGED = 100_000
"""The state of smaller parameters is not paged."""


class BitsandbytesAdamW(mftkit.Optimizer[OptionsT]):
    """AdamW of bitsandbytes (arXiv 2110.02861): averages in 8 bits with a scale for each block, or in 32 bits.

    The state of embeddings has 32 bits in any case, as that paper recommends.
    """

    packages: ClassVar[dict[str, str]] = {"bitsandbytes": "bitsandbytes"}
    bits: int = 8
    paged: bool = False

    def build(self, groups: Sequence[mftkit.ParameterGroup]) -> torch.optim.Optimizer:
        """Return the optimizer of bitsandbytes; embeddings have groups for themselves."""
        parts = []
        for group in groups:
            for bits in (self.bits, 32):
                members = [member for member in group.members if self._bits(member) == bits]
                if members:
                    parts.append(group.as_torch(members, optim_bits=bits))
                if self.bits == 32:
                    break
        optimizer: torch.optim.Optimizer = _class()(
            parts,
            lr=groups[0].learning_rate,
            betas=self.options.betas,
            eps=self.options.eps,
            optim_bits=self.bits,
            is_paged=self.paged,
        )
        return optimizer

    def state_bytes(self, parameter: mftkit.TrainedParameter) -> int:
        """Return the bytes of two averages, and of the scales of their blocks."""
        size = parameter.tensor.numel()
        if self._bits(parameter) == 32 or size < LEAST_SIZE:
            return 2 * 4 * size
        return 2 * (size + 4 * -(-size // BLOCK))

    def _bits(self, parameter: mftkit.TrainedParameter) -> int:
        return 32 if parameter.role == "embedding" else self.bits


def _class() -> type[Any]:
    """Return the class of bitsandbytes with what it lacks, made late: importing it takes seconds."""
    with mftkit.without_peft_noise():
        from bitsandbytes.optim.optimizer import Optimizer2State
    base: Any = Optimizer2State

    class AdamW(base):  # type: ignore[misc]
        def __init__(self, parameters: list[dict[str, Any]], **settings: Any) -> None:
            super().__init__("adam", parameters, weight_decay=0.0, **settings)

        def get_config(self, gindex: int, pindex: int, group: dict[str, Any]) -> dict[str, Any]:
            """Let a group have its own number of bits."""
            return {**super().get_config(gindex, pindex, group), "optim_bits": group["optim_bits"]}

        def load_state_dict(self, state_dict: dict[str, Any], move_to_device: bool = True) -> None:
            """Page again what was paged: as it is, a state that was read stays on the GPU."""
            super().load_state_dict(state_dict, move_to_device)
            if self.is_paged:
                for parameter, state in self.state.items():
                    for key in ("state1", "state2"):
                        state[key] = self._paged(parameter, state[key])

        def _paged(self, parameter: Tensor, values: Tensor) -> Tensor:
            if not parameter.is_cuda or values.numel() < LEAST_PAGED:
                return values
            buffer: Tensor = self.get_state_buffer(parameter, dtype=values.dtype)
            return buffer.copy_(values)

    return AdamW
