"""Processes that train one model together, as threads of one: what TrainStep asks of the real ones."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

import mftkit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor, nn


class ThreadProcess:
    """One of ``count``."""

    device = torch.device("cpu")

    def __init__(self, rank: int, count: int, barrier: threading.Barrier, slots: list[Any]) -> None:
        self.rank = rank
        self.count = count
        self.is_main = rank == 0
        self.reductions = 0
        """Backward passes after which gradients were summed."""
        self._barrier = barrier
        self._slots = slots

    def engine(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> ThreadEngine:
        """An engine that sums gradients in the last backward pass, as data parallelism does."""
        engine = ThreadEngine(mftkit.Options())
        engine.process, engine.processes = (
            self,
            mftkit.ProcessGroup(self.count, self.rank, self.device),
        )
        engine.wrap(model, optimizer)
        return engine

    def sum(self, tensor: Tensor) -> Tensor:
        return torch.stack(self.gather(tensor.detach().clone())).sum(0)

    def sum_(self, tensor: Tensor) -> Tensor:
        return tensor.copy_(self.sum(tensor))

    def any(self, flag: bool) -> bool:
        return any(self.gather(flag))

    def gather(self, value: Any) -> list[Any]:
        self._slots[self.rank] = value
        self._barrier.wait()
        values = list(self._slots)
        self._barrier.wait()
        return values

    def from_main(self, value: Any) -> Any:
        return self.gather(value)[0]


class ThreadEngine(mftkit.Engine):
    """Sums gradients over the threads in the last backward pass."""

    process: ThreadProcess
    reducing = True

    @contextmanager
    def separate(self) -> Iterator[None]:
        self.reducing = False
        try:
            yield
        finally:
            self.reducing = True

    def accumulate(self, *, last: bool) -> Any:
        return super().accumulate(last=last) if last else self.separate()

    def backward(self, loss: Tensor) -> None:
        super().backward(loss)
        if not self.reducing:
            return
        self.process.reductions += 1
        for parameter in (p for p in self.model.parameters() if p.requires_grad):
            assert parameter.grad is not None, "a real wrapper would wait for it for ever"
            parameter.grad = self.process.sum(parameter.grad)


def in_threads(count: int, work: Callable[[ThreadProcess], Any]) -> list[Any]:
    """What ``work`` gives in each of ``count`` processes; one that raises ends all of them."""
    barrier, slots = threading.Barrier(count, timeout=60), [None] * count

    def one(rank: int) -> Any:
        try:
            return work(ThreadProcess(rank, count, barrier, slots))
        except BaseException:
            barrier.abort()
            raise

    with ThreadPoolExecutor(count) as threads:
        futures = [threads.submit(one, rank) for rank in range(count)]
    errors = [error for future in futures if (error := future.exception()) is not None]
    for error in sorted(errors, key=lambda error: isinstance(error, threading.BrokenBarrierError)):
        raise error
    return [future.result() for future in futures]


class GradientRecorder(torch.optim.Optimizer):
    """Keeps the gradients of each step, and changes no weight."""

    _step_supports_amp_scaling = (
        True  # as the fused kernels: the host does not wait for the flag of a bad step
    )

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters, {"lr": 0.0})
        self.steps: list[list[Tensor]] = []

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        trained = [p for group in self.param_groups for p in group["params"]]
        self.steps.append([p.grad.clone() for p in trained])
