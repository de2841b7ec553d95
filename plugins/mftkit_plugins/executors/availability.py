"""Whether an executor works here, found out by using it."""

from __future__ import annotations

import mftkit

WORD = "it works"
LIMITS = mftkit.Limits(seconds=20.0)


def why_not(executor: mftkit.Executor) -> str | None:
    """Why a program cannot be run, in a few words; None where one ran."""
    program = mftkit.Program({"main.py": f"print({WORD!r})"})
    try:
        done = executor.run(program, LIMITS)
    except OSError as error:
        return f"it cannot be started: {error.strerror or error}"
    if done.succeeded and done.stdout.strip() == WORD:
        return None
    said = (done.stderr.strip() or done.stdout.strip() or done.how).splitlines()[-1]
    return f"a program that it was tried on did not run: {said}"
