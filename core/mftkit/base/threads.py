"""Work in a thread beside the main one."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def run(work: Callable[[], T], name: str, *, in_thread: bool = True) -> Future[T]:
    """Do the work in a thread of that name, which a second signal does not wait for, or here."""
    future: Future[T] = Future()

    def do() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    if in_thread:
        threading.Thread(target=do, name=name, daemon=True).start()
    else:
        do()
    return future
