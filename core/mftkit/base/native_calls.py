"""Long calls of native code, during which Python could not react to a signal."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")
_BETWEEN = 0.2
"""Seconds between two moments at which the waiting thread can handle a signal."""


def in_thread(call: Callable[[], Result]) -> Result:
    """Return the result of a call that may be in native code for long, made in a separate thread.

    Python runs the handlers of signals in the main thread, between two of its instructions: while that thread is in
    native code, SIGTERM and Ctrl-C have no effect. Here it waits instead, so that a handler can raise its exception.
    The thread is then left behind; it is a daemon, and does not keep the process from ending. This needs native code
    that gives up Python's global lock, as the ``tokenizers`` library does.
    """
    results: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:  # raised in the thread that waits
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_BETWEEN)
    if errors:
        raise errors[0]
    return results[0]
