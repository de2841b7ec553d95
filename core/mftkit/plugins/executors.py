"""Chooses the executor that runs programs: the one an option names, or the strongest available."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mftkit.interfaces import AUTO
from mftkit.plugins import installed, kinds
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mftkit.interfaces.executor import Executor
    from mftkit.interfaces.references import ComponentRef

WEAK = "MFT_ALLOW_WEAK_ISOLATION"
"""Environment variable that ``--allow-weak-isolation`` sets, so that processes started from here see it too."""


def choose_executor(ref: ComponentRef, report: Callable[[str], None]) -> Executor:
    """Return the executor that ``ref`` names, or for "auto" the strongest available, and report which one it is.

    Raises MftError if no executor can be used, or if it isolates weakly and that is not allowed.
    """
    unavailable: list[str] = []
    for name, executor in _candidates(ref, unavailable):
        reason = executor.unavailable()
        if reason is None:
            _refuse_weak(name, executor, unavailable)
            if executor.isolated:
                report(f"programs run in {name}{_unbounded(executor)}")
            else:
                others = f"; not available: {'; '.join(unavailable)}" if unavailable else ""
                report(f"programs run in {name}, which isolates weakly{_unbounded(executor)}{others}")
            return executor
        unavailable.append(f"{name} ({reason})")
    reasons = "; ".join(unavailable) or "no executor is installed"
    raise MftError(f"programs cannot be run in isolation on this machine: {reasons}")


def _unbounded(executor: Executor) -> str:
    found = executor.not_kept()
    return f"; not bounded here: {', '.join(found)}" if found else ""


def _candidates(ref: ComponentRef, broken: list[str]) -> Iterator[tuple[str, Executor]]:
    if ref.name != AUTO:
        yield ref.name, installed.build(kinds.EXECUTOR, ref.name, ref.options)
        return
    made: list[tuple[str, Executor]] = []
    for name in installed.registry().names(kinds.EXECUTOR):
        try:
            made.append((name, installed.build(kinds.EXECUTOR, name, {})))
        except MftError as error:  # another one may work
            broken.append(f"{name} ({error})")
    yield from sorted(made, key=lambda found: (-found[1].strength, found[0]))


def _refuse_weak(name: str, executor: Executor, unavailable: list[str]) -> None:
    if executor.isolated or os.environ.get(WEAK, "").strip().lower() in ("1", "true", "yes", "on"):
        return
    others = f" ({'; '.join(unavailable)})" if unavailable else ""
    raise MftError(
        f"programs would run in {name}, which isolates weakly: time, memory and processes are limited, but a program "
        f"can read all files that you can read{others}. Install a stronger executor, or allow weak isolation with "
        f"--allow-weak-isolation ({WEAK}=1)."
    )
