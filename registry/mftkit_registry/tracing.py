"""Calls one implementation of a hook, and reports the call where that is asked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from reprlib import Repr
from typing import TYPE_CHECKING, TypeAlias

from mftkit_registry.records import describe

if TYPE_CHECKING:
    import pluggy

Trace: TypeAlias = Callable[[str], None]
"""Receives one line per call."""

_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 40
_SHORT.maxdict = _SHORT.maxlist = _SHORT.maxtuple = 3
_SHORT.maxlevel = 2


def call(
    implementation: pluggy.HookImpl, hook: str, arguments: Mapping[str, object], trace: Trace | None = None
) -> object:
    """Call one implementation with those of the arguments that it names, as pluggy does."""
    named = {name: arguments[name] for name in implementation.argnames}
    return traced(
        trace, hook, implementation.plugin_name, named, lambda: implementation.function(*named.values())
    )


def traced(
    trace: Trace | None, hook: str, owner: str, arguments: Mapping[str, object], make: Callable[[], object]
) -> object:
    """What ``make`` returns; a line with the hook, its owner, the arguments, the seconds and an error is reported."""
    if trace is None:
        return make()
    started, failure = time.perf_counter(), ""
    try:
        return make()
    except BaseException as error:
        failure = f", raised {describe(error)}"
        raise
    finally:
        shown = ", ".join(f"{name}={_shown(value)}" for name, value in arguments.items())
        trace(f"{hook}({shown}) of {owner}: {time.perf_counter() - started:.6f} s{failure}")


def _shown(value: object) -> str:
    """A value on one short line; functions and other objects by their names."""
    if callable(value):
        return str(getattr(value, "__name__", type(value).__name__))
    try:
        return " ".join(_SHORT.repr(value).split())
    except Exception:  # a plugin's own repr may fail
        return type(value).__name__
