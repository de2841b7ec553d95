"""Limits of what a server may send: bytes, and time in all."""

from __future__ import annotations

import threading
import time
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

import mftkit
from mftkit_plugins.chat_models.retrying import Passing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MOST_BYTES = 32 << 20
"""Bytes of the longest answer of a server; a reply of 100,000 tokens has less than one MiB."""
PATIENCE = 5
"""A server that sends little by little must end within this many times the time without any data."""

Result = TypeVar("Result")


class EndlessAnswerError(mftkit.ChatError):
    """A server's answer does not end where any reply does."""


class TooSlowError(Exception):
    """A server's answer comes too slowly."""


def limited(response: Any, seconds: float) -> None:
    """Limit the body of a response that is about to be read. Raises EndlessAnswerError for a compressed one.

    ``response`` is one of httpx or httpx2, whichever the ``openai`` package uses.
    """
    if (encoding := response.headers.get("content-encoding", "identity")).lower() != "identity":
        raise EndlessAnswerError(
            f"{response.url.host} compresses its answer ({encoding[:40]}), although the request asks it not to; use "
            "a server that does not"
        )
    library = import_module(type(response).__module__.partition(".")[0])
    response.stream = _stream_class(library.SyncByteStream)(response.stream, response.url.host, seconds)


@cache
def _stream_class(base: Any) -> Any:
    class LimitedStream(base):  # type: ignore[misc]  # its type is known only at run time
        """A body that ends with an error if it is too long or takes too long."""

        def __init__(self, stream: Any, host: str, seconds: float) -> None:
            self._stream = stream
            self._host = host
            self._until = time.monotonic() + seconds

        def __iter__(self) -> Iterator[bytes]:
            size = 0
            for part in self._stream:
                size += len(part)
                if size > MOST_BYTES:
                    raise EndlessAnswerError(
                        f"{self._host} sends more than {MOST_BYTES >> 20} MiB in answer to one request; check base_url"
                    )
                if time.monotonic() > self._until:
                    raise TooSlowError
                yield part

        def close(self) -> None:
            self._stream.close()

    return LimitedStream


def in_time(ask: Callable[[], Result], seconds: float) -> Result:
    """Return the result of ``ask``, which may hang in any place. Raises Passing if it takes longer than ``seconds``."""
    results: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(ask())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors and not isinstance(errors[0], TooSlowError):
        raise errors[0]
    if not results:
        raise Passing(f"no complete answer within {seconds:g} s")
    return results[0]
