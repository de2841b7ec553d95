"""Processes that train one model together, as threads of one: what TrainStep asks of the real ones."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor, nn


class ThreadProcess:
    """One of ``count``; its accelerator averages gradients in the last backward pass, as data parallelism does."""

    device = torch.device("cpu")

    def __init__(self, rank: int, count: int, barrier: threading.Barrier, slots: list[Any]) -> None:
        self.rank = rank
        self.count = count
        self.is_main = rank == 0
        self.reductions = 0
        """Backward passes after which gradients were averaged."""
        self._barrier = barrier
        self._slots = slots
        self._reducing = True
        self._module: nn.Module | None = None

    @property
    def accelerator(self) -> Self:
        return self

    def wrap(self, module: nn.Module) -> nn.Module:
        """What ``Accelerator.prepare`` is to a model."""
        self._module = module
        return module

    @contextmanager
    def no_sync(self, module: nn.Module) -> Iterator[None]:
        assert module is self._module
        self._reducing = False
        try:
            yield
        finally:
            self._reducing = True

    def backward(self, loss: Tensor) -> None:
        loss.backward()  # type: ignore[no-untyped-call]
        if not self._reducing:
            return
        self.reductions += 1
        assert self._module is not None
        for parameter in (p for p in self._module.parameters() if p.requires_grad):
            assert parameter.grad is not None, "a real wrapper would wait for it for ever"
            parameter.grad = self.sum(parameter.grad) / self.count

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

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters, {"lr": 0.0})
        self.steps: list[list[Tensor]] = []

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        trained = [p for group in self.param_groups for p in group["params"]]
        self.steps.append([p.grad.clone() for p in trained])
