"""The edge of the program: what is raised becomes one message and an exit code."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from mftkit.cli.app import app
from mftkit.cli.console import tell
from mftkit_registry import MftError, MftWarning

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

FAULT, INTERRUPTED = 1, 130
SIGNALLED = 128
"""A command that a signal stopped exits with this plus the signal's number."""
OFF = ("", "0", "false", "no", "off")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code.

    0 done; 1 a fault of the program, or training that failed; 2 wrong input; 130 and 143 after a signal.
    ``--debug`` counts wherever it stands.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    # Before torch is imported. Threads that wait by spinning take the processor from those that work: a step on
    # two cores beside a busy process took 3.9 s, and 0.56 s like this (bench/waiting_threads.py).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    debug = "--debug" in given or os.environ.get("MFT_DEBUG", "").strip().lower() not in OFF
    try:
        with _signals_raised(), warnings.catch_warnings():
            _show_our_warnings()
            code = app([word for word in given if word != "--debug"], prog_name="mft", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read our results has gone: nobody to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAULT
    except SignalledError as stop:
        tell(f"stopped by {stop.signal.name}; nothing was left half written")
        return SIGNALLED + stop.signal
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            traceback.print_exc()
        return _told(error)
    return code if isinstance(code, int) else 0


def _told(error: BaseException) -> int:
    """Say what went wrong; the exit code for it."""
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        tell("interrupted")
        return INTERRUPTED
    if isinstance(error, MftError):
        tell(f"error: {error}")
        return error.exit_code
    if hasattr(error, "show") and hasattr(error, "exit_code"):  # the command line itself is wrong
        error.show()
        return int(error.exit_code)
    if (
        isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    ):  # torch's, not imported here
        tell(f"error: out of memory: {str(error).splitlines()[0] if str(error) else 'no details'}")
        return FAULT
    if missing := _missing_method(error):
        tell(f"error: {missing}")
        return MftError.exit_code
    from mftkit.plugins.ownership import plugin_of_error

    where = plugin_of_error(error)
    whose = f"plugin {where} failed" if where else "internal error"
    tell(f"{whose}: {type(error).__name__}: {error}; run again with --debug for the traceback")
    return FAULT


def _missing_method(error: BaseException) -> str | None:
    """What to tell where a component lacks a method that its kind must have: the interface's own was called."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if not isinstance(error, NotImplementedError) or not frames:
        return None
    name, owner = frames[-1].f_code.co_name, type(frames[-1].f_locals.get("self"))
    if not frames[-1].f_globals.get("__name__", "").startswith("mftkit.interfaces."):
        return None
    whose = f"{owner.__module__}.{owner.__qualname__}"
    return f"{whose} defines no {name}(), which its kind must have; mend it in the plugin"


class SignalledError(BaseException):
    """A signal that came where no training is: there is nothing to save."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = signal.Signals(number)


@contextmanager
def _signals_raised() -> Iterator[None]:
    """SIGINT and SIGTERM end the command by an exception, so that what is open is closed."""
    if threading.current_thread() is not threading.main_thread():  # where signals cannot be set
        yield
        return

    def stop(number: int, _frame: FrameType | None) -> None:
        raise SignalledError(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _show_our_warnings() -> None:
    """Print the program's own warnings as one line each; Python prints the others."""
    warnings.simplefilter("always", MftWarning)
    usual = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
        if issubclass(category, MftWarning):
            tell(f"warning: {message}")
        else:
            usual(message, category, *rest, **more)

    warnings.showwarning = show
