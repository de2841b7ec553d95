"""The options of every component that executes programs."""

from __future__ import annotations

import os

from pydantic import Field

import mftkit

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

    @property
    def limits(self) -> mftkit.Limits:
        """The limits of one execution."""
        return mftkit.Limits(
            self.seconds,
            max(1, round(self.seconds)),
            self.memory_mib * _MIB,
            self.processes,
            self.output_kib * 1024,
        )

    @property
    def threads(self) -> int:
        """How many executions run at a time on this machine."""
        return self.workers or os.cpu_count() or 1
