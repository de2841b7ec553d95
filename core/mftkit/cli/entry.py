"""The entry point of the program: an exception becomes one message and an exit code."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import warnings
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TYPE_CHECKING, TextIO

from mftkit.base.formatting import escaped, shortened
from mftkit.cli.console import show_message
from mftkit.cli.exit_codes import FAULT, INTERRUPTED, SIGNALLED
from mftkit_registry import MftError, MftWarning

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

OFF = ("", "0", "false", "no", "off")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code.

    0 success; 1 an internal error, or a training run that failed; 2 invalid input; 130 and 143 after a signal.
    ``--debug`` may stand anywhere in the arguments.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # what its encoding lacks is shown as an escape
            stream.reconfigure(errors="backslashreplace")
    # Before torch is imported. Threads that wait by spinning take the processor from working ones: a step on two
    # cores beside a busy process took 3.9 s, and 0.56 s with this setting (bench/waiting_threads.py).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    debug = "--debug" in given or os.environ.get("MFT_DEBUG", "").strip().lower() not in OFF
    try:
        with _signals_raised(), warnings.catch_warnings():
            _show_our_warnings()
            words = [word for word in given if word != "--debug"]
            code = _run(words)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our results has gone, so that there is nobody to report to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAULT
    except SignalledError as stop:
        show_message(f"stopped by {stop.signal.name}; no file was left half written")
        return SIGNALLED + stop.signal
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            import traceback

            show_message(traceback.format_exc().rstrip())
        return _report(error)
    return code if isinstance(code, int) else 0


def _run(words: Sequence[str]) -> object:
    """Run a command; returns what it returns."""
    if words == ["plugins", "list"]:
        # Half of this command's time would be that of typer, which it has no use for.
        from mftkit.cli.plugins_list import print_plugins

        print_plugins()
        return None
    from mftkit.cli.app import with_commands

    return with_commands()(words, prog_name="mft", standalone_mode=False)


def _report(error: BaseException) -> int:
    """Print what went wrong; returns the exit code for it."""
    import typer

    if isinstance(error, KeyboardInterrupt | typer.Abort):
        show_message("interrupted")
        return INTERRUPTED
    if isinstance(error, MftError):
        show_message(f"error: {error}")
        return error.exit_code
    if hasattr(error, "show") and hasattr(error, "exit_code"):  # the command line itself is wrong
        if isinstance(text := getattr(error, "message", None), str):
            error.message = escaped(text)  # type: ignore[attr-defined]  # it quotes what was given
        error.show()
        return int(error.exit_code)
    # By name: torch, whose error it is, is not imported here.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        show_message(f"error: out of memory: {str(error).splitlines()[0] if str(error) else 'no details'}")
        return FAULT
    if problem := _missing_method(error) or _too_long(error):
        show_message(f"error: {problem}")
        return MftError.exit_code
    from mftkit.plugins.ownership import plugin_of_error

    plugin = plugin_of_error(error)
    source = f"plugin {plugin} failed" if plugin else "internal error"
    show_message(f"{source}: {type(error).__name__}: {error}; run again with --debug for the traceback")
    return FAULT


def _too_long(error: BaseException) -> str | None:
    """A sentence about a path that no file can have; None for another error."""
    if not isinstance(error, OSError) or error.errno != errno.ENAMETOOLONG:
        return None
    return f"{shortened(str(error.filename), 80)}: a name in this path is too long; give a shorter one"


def _missing_method(error: BaseException) -> str | None:
    """The message for a component without a required method, whose interface's own was called; else None."""
    import traceback

    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if not isinstance(error, NotImplementedError) or not frames:
        return None
    name, component = frames[-1].f_code.co_name, frames[-1].f_locals.get("self")
    if not frames[-1].f_globals.get("__name__", "").startswith("mftkit.interfaces."):
        return None
    from mftkit.plugins.ownership import plugin_suffix

    owner = f"{type(component).__module__}.{type(component).__qualname__}"
    return f"{owner} does not define {name}(), which its interface requires; fix the plugin{plugin_suffix(component)}"


class SignalledError(BaseException):
    """A signal that came outside of training, where there is nothing to save."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = signal.Signals(number)


@contextmanager
def _signals_raised() -> Iterator[None]:
    """Make SIGINT and SIGTERM raise an exception, so that what is open is closed."""
    if threading.current_thread() is not threading.main_thread():  # signals cannot be set in another thread
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
    """Print the program's own warnings as one line each, and others as Python does, without control characters."""
    warnings.simplefilter("always", MftWarning)

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,  # noqa: ARG001
        line: str | None = None,
    ) -> None:
        if issubclass(category, MftWarning):
            show_message(f"warning: {message}")
        else:
            show_message(warnings.formatwarning(message, category, filename, lineno, line).rstrip())

    warnings.showwarning = show
