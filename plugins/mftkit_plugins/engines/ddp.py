"""Data parallelism: every process holds the whole model, and gradients are summed (torch's DistributedDataParallel)."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, cast

import mftkit

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import torch
    from torch import Tensor, nn
    from torch.nn.parallel import DistributedDataParallel


class Ddp(mftkit.Engine):
    """Holds a whole copy of model, gradients and optimizer in each process."""

    preference = 2

    def sharding(self, devices: int, *, frozen_base: bool) -> mftkit.Sharding:  # noqa: ARG002
        """Return whole copies; gradients are views of buckets, which stay allocated."""
        return mftkit.Sharding(keeps_gradients=devices > 1)

    def wrapped(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> nn.Module:  # noqa: ARG002
        """Return the model in torch's data-parallel wrapper."""
        from torch.nn.parallel import DistributedDataParallel

        device = self.processes.device
        with warnings.catch_warnings():
            # The successor that torch names still sends buffers at the start, which nothing here needs: buffers are
            # constants (rotary frequencies).
            warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
            return DistributedDataParallel(
                model.to(device),
                device_ids=None if device.type == "cpu" else [device],
                broadcast_buffers=False,
                gradient_as_bucket_view=True,
            )

    def accumulate(self, *, last: bool) -> AbstractContextManager[None]:
        """Add up gradients in this process, and exchange them in the last backward pass alone."""
        return super().accumulate(last=last) if last else self.separate()

    def separate(self) -> AbstractContextManager[None]:
        """Keep gradients in this process."""
        without_exchange: AbstractContextManager[None] = cast("DistributedDataParallel", self.model).no_sync()
        return without_exchange

    def backward(self, loss: Tensor) -> None:
        """Back-propagate; the wrapper divides by the number of processes, and gradients are sums over them."""
        (loss * self.processes.count).backward()  # type: ignore[no-untyped-call]
