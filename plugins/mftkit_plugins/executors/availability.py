"""Tests whether an executor works on this machine, by using it."""

from __future__ import annotations

import mftkit

WORD = "it works"
LIMITS = mftkit.Limits(seconds=20.0)


def failure_of(executor: mftkit.Executor) -> str | None:
    """Run a program, and return why that failed in a few words; None if it worked."""
    program = mftkit.Program({"main.py": f"print({WORD!r})"})
    try:
        execution = executor.run(program, LIMITS)
    except OSError as error:
        return f"it cannot be started: {error.strerror or error}"
    if execution.succeeded and execution.stdout.strip() == WORD:
        return None
    output = execution.stderr.strip() or execution.stdout.strip() or execution.how
    return f"a test program failed: {output.splitlines()[-1]}"
