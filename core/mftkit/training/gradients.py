"""Where a step's backward passes leave their gradients: summed in one, or one for each task."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch.distributed.tensor import DTensor

from mftkit.plugins.ownership import plugin_suffix
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from mftkit.interfaces.engine import Engine
    from mftkit.interfaces.gradients import GradientCombiner
    from mftkit.processes import Processes
    from mftkit.training.objective import BatchCounts

    Rows = Sequence[Sequence[NDArray[np.int64]]]


class Gradients:
    """The sum over micro-batches and processes, in the parameters' own ``.grad``: for a run without a combiner."""

    def __init__(self, engine: Engine, trained: list[nn.Parameter]) -> None:
        """``trained`` are the trained parameters."""
        self._engine = engine
        self._trained = trained
        self._last = -1
        """Number of the step's last micro-batch."""

    def begin(self, rows: Rows, task: NDArray[np.int64]) -> None:  # noqa: ARG002
        """Before the backward passes of a step.

        Args:
            rows: the rows of samples of each micro-batch.
            task: [samples]: task of each sample of the epoch.
        """
        self._last = len(rows) - 1

    def accumulate(self, number: int) -> AbstractContextManager[None]:
        """Around the forward and backward pass of micro-batch ``number``.

        Gradients add up locally; the engine may exchange them in the last backward pass alone.
        """
        return self._engine.accumulate(last=number == self._last)

    def backward(self, loss: Tensor) -> None:
        """Within ``accumulate``: back-propagate a micro-batch's part of the step's objective; the parts are summed."""
        self._engine.backward(loss)

    def finish(self, weights: Tensor, counts: BatchCounts) -> None:  # noqa: ARG002
        """After the last backward pass, with the step's ``weights`` [tasks]: leave the sum in ``.grad``."""
        self._engine.reduce(self._trained)

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""


def make_gradients(
    engine: Engine,
    trained: list[nn.Parameter],
    processes: Processes,
    combiner: GradientCombiner | None,
) -> Gradients:
    """Where a run's backward passes leave their gradients."""
    if combiner is None:
        return Gradients(engine, trained)
    return PerTaskGradients(engine, trained, processes, combiner)


class PerTaskGradients(Gradients):
    """One gradient per task, from which a combiner makes one.

    Every micro-batch holds one task. During its backward pass, the parameters' ``.grad`` are views of that task's row
    of one buffer [tasks, P], to which autograd adds in place. The rows are summed over processes once per step.
    """

    def __init__(
        self,
        engine: Engine,
        trained: list[nn.Parameter],
        processes: Processes,
        combiner: GradientCombiner,
    ) -> None:
        """Raises MftError if the trained parameters are of several dtypes."""
        super().__init__(engine, trained)
        self._processes = processes
        self.combiner = combiner
        self._num_tasks = len(combiner.tasks)
        check_one_dtype(self._trained)
        self._rows: Tensor | None = None
        self._views: list[list[Tensor]] = []
        self._task_of_micro_batch: list[int | None] = []

    def begin(self, rows: Rows, task: NDArray[np.int64]) -> None:
        """Set the buffer to zero; it is allocated in the first step."""
        super().begin(rows, task)
        self._task_of_micro_batch = [_task_of(each, task) for each in rows]
        if self._rows is None:
            size = sum(p.numel() for p in self._trained)
            self._rows = self._trained[0].new_zeros(self._num_tasks, size, requires_grad=False)
            self._views = [views(row, self._trained) for row in self._rows]
        else:
            self._rows.zero_()

    @contextmanager
    def accumulate(self, number: int) -> Iterator[None]:
        """Gradients go to the row of the micro-batch's task; an idle micro-batch has none to add."""
        task = self._task_of_micro_batch[number]
        for parameter, view in zip(self._trained, self._views[task or 0], strict=True):
            parameter.grad = view
        with self._engine.separate():
            yield

    def backward(self, loss: Tensor) -> None:
        """Into the task's row, which is summed over processes later: no factor is needed."""
        loss.backward()  # type: ignore[no-untyped-call]

    def per_task(self) -> Tensor:
        """The rows [tasks, P], summed over processes in place: to be called once per step."""
        assert self._rows is not None, "a step has begun"
        return self._processes.sum_(self._rows)

    def finish(self, weights: Tensor, counts: BatchCounts) -> None:
        """Leave in ``.grad`` what the combiner makes of the rows."""
        combined = self._combined(self.per_task(), torch.where(counts.present, weights, 0.0))
        for parameter, view in zip(self._trained, views(combined, self._trained), strict=True):
            parameter.grad = view

    def _combined(self, rows: Tensor, weights: Tensor) -> Tensor:
        if not bool(torch.isfinite(rows).all()):
            return rows.sum(0)  # not finite either, so the step is refused like any other such step
        zero_weight = (weights == 0).nonzero().flatten()
        # The router's loss still has a gradient for a task that was stopped.
        leftover = rows[zero_weight].sum(0)
        rows[zero_weight] = 0.0
        # One process decides for all, so that no difference in rounding or drawing makes their weights diverge.
        if self._processes.is_main:
            combined = checked_combination(self.combiner, rows, weights.detach().double().cpu())
            return self._processes.sum_(combined + leftover)
        return self._processes.sum_(torch.zeros_like(leftover))

    def state_dict(self) -> dict[str, Any]:
        """The combiner's state."""
        return self.combiner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self.combiner.load_state_dict(state)


def _task_of(rows: Sequence[NDArray[np.int64]], task: NDArray[np.int64]) -> int | None:
    members = {int(each) for row in rows for each in task[row]}
    assert len(members) <= 1, "a micro-batch holds one task"
    return members.pop() if members else None


def check_one_dtype(trained: Sequence[Tensor]) -> None:
    """Raise MftError if parameters are of several dtypes, or divided: their gradients would not fit into one buffer."""
    if any(isinstance(p, DTensor) for p in trained):
        raise MftError(
            "gradients: the trained parameters are divided over processes, so no process has a task's gradient. "
            "Choose another engine, or leave gradients out of the spec."
        )
    dtypes = sorted({str(p.dtype) for p in trained})
    if len(dtypes) > 1:
        raise MftError(
            f"gradients: the trained parameters have several dtypes ({', '.join(dtypes)}), but the tasks' gradients "
            'share one buffer. Set model.dtype to "float32", or leave gradients out of the spec.'
        )


def views(flat: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
    """``flat`` [P] split into tensors of the parameters' shapes, one after another, in the same memory."""
    pieces = torch.split(flat, [parameter.numel() for parameter in parameters])
    return [piece.view_as(parameter) for piece, parameter in zip(pieces, parameters, strict=True)]


def checked_combination(combiner: GradientCombiner, rows: Tensor, weights: Tensor) -> Tensor:
    """The gradient [P] that a combiner makes of rows [tasks, P]. Raises MftError if it returns anything else."""
    combined = combiner.combine(rows, weights)
    if not isinstance(combined, torch.Tensor) or combined.shape != rows.shape[1:]:
        got = tuple(combined.shape) if isinstance(combined, torch.Tensor) else type(combined).__name__
        raise MftError(
            f"gradients: {type(combiner).__module__}.{type(combiner).__name__}.combine() must return a tensor of shape "
            f"({rows.shape[1]},), but returned {got}. Fix the plugin{plugin_suffix(combiner)}."
        )
    return combined.detach().to(rows)


def describe_memory(combiner: GradientCombiner | None, trained: Sequence[Tensor]) -> str:
    """The memory that one gradient per task takes, for the plan; "" without a combiner."""
    if combiner is None:
        return ""
    tasks, numbers = len(combiner.tasks), sum(p.numel() for p in trained)
    size = tasks * numbers * trained[0].element_size() / 1e9
    return (
        f"gradients: one per task, {tasks} x {numbers:,} numbers, {size:,.2g} GB in each process; every forward pass "
        "holds one task"
    )
