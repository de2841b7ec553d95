"""Options of evaluators that execute, and the threads that do."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from pydantic import Field

import mftkit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")
R = TypeVar("R")
_MIB = 1 << 20


class ExecutionOptions(mftkit.Options):
    """How programs are executed."""

    isolation: mftkit.ExecutorRef = Field(default="auto")  # type: ignore[assignment]  # validated like a value in a spec
    """The executor that runs the programs, by name; "auto" selects the strongest available on this machine."""
    seconds: float = Field(default=10.0, gt=0)
    """Time limit of one execution in seconds, for wall-clock time and for processor time."""
    memory_mib: int = Field(default=1024, ge=64)
    """Memory limit of one execution, in MiB."""
    processes: int = Field(default=32, ge=4)
    """Limit on the processes and threads of one execution."""
    output_kib: int = Field(default=64, ge=1)
    """Limit on the output of one execution, in KiB."""
    workers: int | None = Field(default=None, ge=1)
    """Number of concurrent executions; null: one per processor."""

    def sandbox(self, context: mftkit.EvaluationContext) -> Sandbox:
        """Return the executor with its limits. Raises MftError if it cannot be used here."""
        limits = mftkit.Limits(
            self.seconds,
            max(1, round(self.seconds)),
            self.memory_mib * _MIB,
            self.processes,
            self.output_kib * 1024,
        )
        return Sandbox(context.executor(self.isolation), limits, self.workers or os.cpu_count() or 1)


@dataclass(frozen=True)
class Sandbox:
    """An executor, the limits of one execution, and how many run at a time."""

    executor: mftkit.Executor
    limits: mftkit.Limits
    workers: int

    def run(self, program: mftkit.Program, **floors: int) -> mftkit.Execution:
        """Run a program; ``floors`` are limits that are raised to a least value."""
        raised = {name: max(least, getattr(self.limits, name)) for name, least in floors.items()}
        return self.executor.run(program, replace(self.limits, **raised))

    def each(self, function: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Return the function's results in order; several run at a time."""
        with ThreadPoolExecutor(self.workers) as pool:
            try:
                return list(pool.map(function, items))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


def judged(
    answered: Sequence[mftkit.Answered],
    sandbox: Sandbox,
    verdict: Callable[[mftkit.EvaluationRow, str], mftkit.Verdict],
) -> list[list[mftkit.Verdict]]:
    """Return a verdict for each answer; equal answers to a row are executed once."""
    pairs = dict.fromkeys((n, answer.text) for n, row in enumerate(answered) for answer in row.answers)
    found = sandbox.each(lambda pair: verdict(answered[pair[0]].row, pair[1]), list(pairs))
    by_pair = dict(zip(pairs, found, strict=True))
    return [[by_pair[n, answer.text] for answer in row.answers] for n, row in enumerate(answered)]


def place(row: mftkit.EvaluationRow) -> str:
    """Return what a message calls a row."""
    return row.source or row.id
