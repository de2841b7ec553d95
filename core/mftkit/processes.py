"""The processes of a run: how many there are, which one this is, and what they agree on."""

from __future__ import annotations

import atexit
import copy
import os
from typing import TYPE_CHECKING, Self, TypeVar

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.utils import GradientAccumulationPlugin

from mftkit.base.launchers import find_launcher
from mftkit.interfaces.engine import ProcessGroup
from mftkit_registry import MftError

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")


class Processes:
    """The processes that train one model together; a process by itself sends no messages.

    Messages that are not tensors (a stop, an object) go over a group on the CPU, so that no device waits for them.
    """

    def __init__(self) -> None:
        find_launcher()
        expected = int(os.environ.get("WORLD_SIZE", "1"))
        if expected > 1 and not torch.accelerator.is_available():
            # Without this, every process on a machine without a GPU takes itself for the only one.
            os.environ["ACCELERATE_USE_CPU"] = "true"
        # Both are set here so that accelerate does not read them from the environment: the objective scales a step.
        self.accelerator = Accelerator(
            mixed_precision="no",
            gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
        )
        self.count: int = self.accelerator.num_processes
        self.rank: int = self.accelerator.process_index
        self.device: torch.device = self.accelerator.device
        """Where this process trains."""
        if self.count != expected:
            raise MftError(
                f"processes: {expected} were started, but {self.count} found each other. Start them with "
                "mft run --processes N, torchrun, srun or accelerate launch, on devices of one kind."
            )
        self._group: dist.ProcessGroup | None = None
        """Process group on the CPU; None: the default group already is one."""
        if self.count > 1:
            if dist.get_backend() != "gloo":
                self._group = dist.new_group(backend="gloo")
            atexit.register(_leave)

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files and messages."""
        return self.rank == 0

    def alone(self) -> Self:
        """Only this process, on the CPU: its methods send no messages."""
        alone = copy.copy(self)
        alone.count, alone.rank, alone.device = 1, 0, torch.device("cpu")
        return alone

    @property
    def group(self) -> ProcessGroup:
        """The processes as an engine sees them."""
        return ProcessGroup(self.count, self.rank, self.device)

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over processes, on the tensor's device."""
        if self.count == 1:
            return tensor
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    def sum_(self, tensor: Tensor) -> Tensor:
        """The sum over processes, in the tensor's own memory."""
        if self.count > 1:
            dist.all_reduce(tensor)
        return tensor

    def any(self, flag: bool) -> bool:
        """Return True, in every process, if the flag is set in any of them."""
        return bool(self.highest(int(flag)))

    def highest(self, number: int) -> int:
        """The highest number of any process, in every process."""
        return self.highest_each(number)[0]

    def highest_each(self, *numbers: int) -> list[int]:
        """As ``highest``, for several numbers in one message."""
        if self.count == 1:
            return list(numbers)
        highest = torch.tensor(numbers)
        dist.all_reduce(highest, op=dist.ReduceOp.MAX, group=self._group)
        return [int(number) for number in highest]

    def gather(self, value: T) -> list[T]:
        """Each process's value, in every process."""
        if self.count == 1:
            return [value]
        values = [value] * self.count  # each place is overwritten
        dist.all_gather_object(values, value, group=self._group)
        return values

    def barrier(self) -> None:
        """Wait until all processes are here."""
        self.from_main(None)

    def from_main(self, value: T) -> T:
        """The main process's value, in every process; all of them wait for it."""
        if self.count == 1:
            return value
        held = [value]
        dist.broadcast_object_list(held, src=0, group=self._group)
        return held[0]


def _leave() -> None:
    """Leave the group while the interpreter is still intact: ending its threads later sometimes aborts the process."""
    if dist.is_initialized():
        dist.destroy_process_group()
