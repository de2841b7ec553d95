"""Chooses what runs programs: the executor that an option names, or the strongest that this machine has."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mftkit.interfaces.references import AUTO
from mftkit.plugins import installed, kinds
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mftkit.interfaces.executor import Executor
    from mftkit.interfaces.references import ComponentRef

WEAK = "MFT_ALLOW_WEAK_ISOLATION"
"""Environment variable that ``--allow-weak-isolation`` sets, so that processes started from here see it too."""


def choose_executor(ref: ComponentRef, show_line: Callable[[str], None]) -> Executor:
    """The executor that ``ref`` names, or for "auto" the strongest available one; ``show_line`` reports its name.

    Raises MftError if it (or, for "auto", every one) cannot be used, or if it isolates weakly and that is not allowed.
    """
    passed_over: list[str] = []
    for name, executor in _candidates(ref, passed_over):
        why = executor.unavailable()
        if why is None:
            _refuse_weak(name, executor, passed_over)
            skipped = passed_over if not executor.isolated else []
            unavailable = f"; not available: {'; '.join(skipped)}" if skipped else ""
            weakly = "" if executor.isolated else ", which isolates weakly"
            show_line(f"programs run in {name}{weakly}{unavailable}")
            return executor
        passed_over.append(f"{name} ({why})")
    what = "; ".join(passed_over) or "no executor is installed"
    raise MftError(f"programs cannot be run in isolation on this machine: {what}")


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


def _refuse_weak(name: str, executor: Executor, passed_over: list[str]) -> None:
    if executor.isolated or os.environ.get(WEAK, "").strip().lower() in ("1", "true", "yes", "on"):
        return
    others = f" ({'; '.join(passed_over)})" if passed_over else ""
    raise MftError(
        f"programs would run in {name}, which isolates weakly: it bounds time, memory and processes, but a program can "
        f"read what you can read{others}. Install a stronger one, or allow it by --allow-weak-isolation ({WEAK}=1)."
    )
