"""Options of evaluators that execute, and the threads that do."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from mftkit_plugins.program_tests.execution_options import ExecutionOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import mftkit

T = TypeVar("T")
R = TypeVar("R")


class SandboxOptions(ExecutionOptions):
    """Options of an evaluator that executes."""

    def sandbox(self, context: mftkit.EvaluationContext) -> Sandbox:
        """Return the executor with its limits. Raises MftError if it cannot be used here."""
        return Sandbox(context.executor(self.isolation), self.limits, self.threads)


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
