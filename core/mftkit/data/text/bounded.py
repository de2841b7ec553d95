"""Limits of time and memory for a program from elsewhere that runs in this thread, such as a chat template."""

from __future__ import annotations

import ctypes
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 5.0
"""A template renders a conversation in a millisecond."""
MEMORY = 2 << 30
"""Bytes that may be allocated in addition."""


class OutOfTimeError(Exception):
    """The program did not end in time."""


@contextmanager
def bounded() -> Iterator[None]:
    """End the block after ``SECONDS`` with OutOfTimeError, and at ``MEMORY`` bytes more than now with MemoryError.

    The time is that of Python code: a single call into a library is not interrupted. Memory is limited on Linux.
    """
    thread, lock, is_running = threading.get_ident(), threading.Lock(), True

    def stop() -> None:
        with lock:
            if is_running:
                _raise(thread, ctypes.py_object(OutOfTimeError))

    timer = threading.Timer(SECONDS, stop)
    timer.daemon = True
    timer.start()
    try:
        with _limited_memory():
            yield
    finally:
        timer.cancel()
        with lock:
            is_running = False
        _raise(thread, None)  # one that came too late to be raised inside


def _raise(thread: int, error: object) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), error)


@contextmanager
def _limited_memory() -> Iterator[None]:
    try:
        import resource

        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (ImportError, OSError):  # another system
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    given = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min(used + MEMORY, *given) if given else used + MEMORY, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
