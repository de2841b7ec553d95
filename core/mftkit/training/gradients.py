"""Where a step's backward passes leave their gradients: all in one, or one for each task."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch

from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from mftkit.interfaces.gradients import GradientCombiner
    from mftkit.processes import Processes
    from mftkit.training.objective import Counts

    Rows = Sequence[Sequence[NDArray[np.int64]]]


class Gradients:
    """The sum over passes and processes, in the parameters' own ``.grad``: what a run without a combiner needs."""

    def __init__(self, scorer: nn.Module, processes: Processes) -> None:
        """``scorer`` is what runs forward: the wrapper of several processes, where there is one."""
        self._scorer = scorer
        self._processes = processes
        self._passes = 0

    def begin(self, rows: Rows) -> None:
        """Before the backward passes of a step: the rows of samples of each."""
        self._passes = len(rows)

    def gathering(self, number: int) -> AbstractContextManager[None]:
        """Around forward and backward pass ``number``; processes exchange gradients in the last one alone."""
        if number == self._passes - 1:
            return nullcontext()
        held: AbstractContextManager[None] = self._processes.accelerator.no_sync(self._scorer)
        return held

    def backward(self, loss: Tensor) -> None:
        """Within ``gathering``: the pass's part of the step's objective, whose parts are summed."""
        # The data-parallel wrapper averages over processes.
        self._processes.accelerator.backward(loss * self._processes.count)

    def finish(self, weights: Tensor, counts: Counts) -> None:
        """After the last pass: the step's gradient is in ``.grad``. ``weights`` [tasks] are the step's."""

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""


def make_gradients(
    scorer: nn.Module, processes: Processes, task: NDArray[np.int64], combiner: GradientCombiner | None
) -> Gradients:
    """What a run's passes leave their gradients in; ``task`` is each training sample's."""
    if combiner is None:
        return Gradients(scorer, processes)
    return PerTaskGradients(scorer, processes, task, len(combiner.tasks), combiner)


class PerTaskGradients(Gradients):
    """One gradient a task, of which a combiner makes one.

    Every pass holds one task. While it runs, the parameters' ``.grad`` are views of that task's row of one buffer
    [tasks, P], into which autograd adds in place. Over processes the rows are summed once a step.
    """

    def __init__(
        self,
        scorer: nn.Module,
        processes: Processes,
        task: NDArray[np.int64],
        num_tasks: int,
        combiner: GradientCombiner,
    ) -> None:
        """``task`` is each sample's. Raises MftError for parameters that fit into no one buffer."""
        super().__init__(scorer, processes)
        self.combiner = combiner
        self._task = task
        self._num_tasks = num_tasks
        self._trained = [p for p in scorer.parameters() if p.requires_grad]
        dtypes = sorted({str(p.dtype) for p in self._trained})
        if len(dtypes) > 1:
            raise MftError(
                f"gradients: the trained parameters are of several number types ({', '.join(dtypes)}), and the "
                'tasks\' gradients are of one; set model.dtype to "float32", or leave gradients out.'
            )
        self._rows: Tensor | None = None
        self._views: list[list[Tensor]] = []
        self._of_pass: list[int | None] = []

    def begin(self, rows: Rows) -> None:
        """Empty rows, made in the first step."""
        super().begin(rows)
        self._of_pass = [self._task_of(each) for each in rows]
        if self._rows is None:
            size = sum(p.numel() for p in self._trained)
            self._rows = self._trained[0].new_zeros(self._num_tasks, size, requires_grad=False)
            self._views = [views(row, self._trained) for row in self._rows]
        else:
            self._rows.zero_()

    @contextmanager
    def gathering(self, number: int) -> Iterator[None]:
        """Gradients go to the row of the pass's task; an idle pass has none to leave."""
        task = self._of_pass[number]
        for parameter, view in zip(self._trained, self._views[task or 0], strict=True):
            parameter.grad = view
        with self._processes.accelerator.no_sync(self._scorer):
            yield

    def backward(self, loss: Tensor) -> None:
        """Into the task's row."""
        self._processes.accelerator.backward(loss)

    def per_task(self) -> Tensor:
        """The rows [tasks, P], summed over processes; overwritten by the next step. Once a step."""
        assert self._rows is not None, "a step has begun"
        return self._processes.sum_(self._rows)

    def finish(self, weights: Tensor, counts: Counts) -> None:
        """Put what the combiner makes of the rows into ``.grad``."""
        combined = self._combined(self.per_task(), torch.where(counts.present, weights, 0.0))
        for parameter, view in zip(self._trained, views(combined, self._trained), strict=True):
            parameter.grad = view

    def _combined(self, rows: Tensor, weights: Tensor) -> Tensor:
        if not bool(torch.isfinite(rows).all()):
            return rows.sum(0)  # not finite either: the step is refused as any such step is
        silent = (weights == 0).nonzero().flatten()
        aside = rows[silent].sum(0)  # what a router's loss leaves to a task that has stopped
        rows[silent] = 0.0
        # One process decides, so that no difference in rounding or drawing can part the processes' weights.
        if self._processes.is_main:
            return self._processes.sum_(checked(self.combiner, rows, weights.detach().double().cpu()) + aside)
        return self._processes.sum_(torch.zeros_like(aside))

    def _task_of(self, rows: Sequence[NDArray[np.int64]]) -> int | None:
        members = {int(task) for row in rows for task in self._task[row]}
        assert len(members) <= 1, "a pass holds one task"
        return members.pop() if members else None

    def state_dict(self) -> dict[str, Any]:
        """The combiner's."""
        return self.combiner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self.combiner.load_state_dict(state)


def views(flat: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
    """``flat`` [P] cut into tensors of the parameters' shapes, one after another, in the same memory."""
    pieces = torch.split(flat, [parameter.numel() for parameter in parameters])
    return [piece.view_as(parameter) for piece, parameter in zip(pieces, parameters, strict=True)]


def checked(combiner: GradientCombiner, rows: Tensor, weights: Tensor) -> Tensor:
    """What a combiner makes of rows [tasks, P]: [P]. Raises MftError where it is no such thing."""
    combined = combiner.combine(rows, weights)
    if not isinstance(combined, torch.Tensor) or combined.shape != rows.shape[1:]:
        shape = tuple(combined.shape) if isinstance(combined, torch.Tensor) else type(combined).__name__
        raise MftError(
            f"gradients: {type(combiner).__module__}.{type(combiner).__name__}.combine() must give a tensor of shape "
            f"({rows.shape[1]},), and gave {shape}; mend it in the plugin."
        )
    return combined.detach().to(rows)


def told_memory(combiner: GradientCombiner | None, trained: Sequence[Tensor]) -> str:
    """What one gradient a task costs, for the plan; empty where there is none."""
    if combiner is None:
        return ""
    tasks, numbers = len(combiner.tasks), sum(p.numel() for p in trained)
    size = tasks * numbers * trained[0].element_size() / 1e9
    return (
        f"gradients: one for each task, {tasks} x {numbers:,} numbers, {size:,.2g} GB in each process; every "
        "forward pass holds one task"
    )
