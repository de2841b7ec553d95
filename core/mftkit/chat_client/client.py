"""A conversation with a chat model, as whoever asks sees it."""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Self

from mftkit.chat_client.budget import Budget
from mftkit.interfaces.chat import ChatRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from mftkit.chat_client.reply_cache import ReplyCache
    from mftkit.interfaces.chat import ChatModel, Reply
    from mftkit.reporting.usage import Usage

GRACE = 3.0
"""Seconds that are left to the requests under way, which are paid for, when no more are to be asked."""
AHEAD = 2
"""Batches taken from the requests ahead of the reply that is waited for, for each thread."""


@dataclass(frozen=True, eq=False)
class _Asked:
    request: ChatRequest
    identity: str
    reply: Future[Reply]


class ChatClient:
    """Asks a chat model, many requests at a time; replies come in the order of the requests.

    Every reply is on the disk before it is given out; asked again in the same order, the same requests have
    the same replies without a request to the model. Use it in a ``with`` statement.
    """

    def __init__(
        self, model: ChatModel, ledger: ReplyCache, tell: Callable[[str], None], changed: Callable[[], None]
    ) -> None:
        self._model = model
        self._ledger = ledger
        self._tell = tell
        self._changed = changed
        self._account = Budget(model.options)
        self._jobs: SimpleQueue[tuple[Sequence[_Asked], tuple[int, int]] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._closed = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @property
    def usage(self) -> Usage:
        """What was asked and what it cost."""
        return self._account.usage()

    def ask(self, messages: Sequence[Mapping[str, str]], *, key: str | None = None, **sampling: Any) -> Reply:
        """The reply to one request; see ``ChatRequest`` for what may be given."""
        return next(self.ask_all([ChatRequest(tuple(messages), key, sampling)]))

    def ask_all(self, requests: Iterable[ChatRequest]) -> Iterator[Reply]:
        """The replies to requests, in their order, many being asked at a time.

        Requests are taken from the iterable somewhat ahead of the replies. Raises ChatError, in the place of
        the reply that it is about: BudgetSpent where the budget leaves no room for the request.
        """
        batches = _Batches(iter(requests), self)
        for future in batches.in_order():
            reply = future.result()
            self._changed()
            yield reply

    def close(self) -> None:
        """Ask no more; what is under way has a moment to end, as it is paid for. Once or more."""
        if self._closed.is_set():
            return
        self._closed.set()
        for _ in self._threads:
            self._jobs.put(None)
        until = time.monotonic() + GRACE
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        if self._threads:
            self._model.close()
        self._ledger.close()

    def _open(self, request: ChatRequest) -> _Asked:
        """A request with the place of its reply, which is filled already where the reply is on the disk."""
        identity = self._ledger.identify(request)
        seed = int(identity[:8], 16) >> 1  # within 31 bits, which every provider takes
        asked = _Asked(replace(request, seed=seed), identity, Future())
        known = self._ledger.find(asked.identity)
        if known is not None:
            self._account.from_disk(known)
            asked.reply.set_result(known)
        return asked

    def _submit(self, batch: Sequence[_Asked]) -> bool:
        """Set requests going; False where the budget leaves no room for them at present."""
        reserved = self._account.reserve([asked.request for asked in batch])
        if reserved is None:
            return False
        if not self._threads:
            self._model.start(self._tell)
            self._threads = [
                threading.Thread(target=self._work, daemon=True) for _ in range(self._model.concurrency)
            ]
            for thread in self._threads:
                thread.start()
        self._jobs.put((batch, reserved))
        return True

    def _work(self) -> None:
        """One thread: daemons, so that a request that hangs never holds up the end of the program."""
        while (job := self._jobs.get()) is not None:
            if not self._closed.is_set():
                self._answer(*job)

    def _answer(self, batch: Sequence[_Asked], reserved: tuple[int, int]) -> None:
        replies: Sequence[Reply] = ()
        try:
            replies = self._model.replies([asked.request for asked in batch])
            pairs = list(zip(batch, replies, strict=True))
            self._ledger.record((asked.identity, reply) for asked, reply in pairs)
        except BaseException as error:  # raised where the reply is waited for
            self._account.settle(reserved, replies)
            for asked in batch:
                asked.reply.set_exception(error)
            return
        self._account.settle(reserved, replies)
        for asked, reply in pairs:
            asked.reply.set_result(reply)


class _Batches:
    """The requests of one call, set going in batches ahead of the reply that is waited for."""

    def __init__(self, source: Iterator[ChatRequest], chat: ChatClient) -> None:
        self._source = source
        self._chat = chat
        self._size = chat._model.batch_size
        self._most = AHEAD * chat._model.concurrency * self._size
        self._waiting: deque[_Asked] = deque()
        self._batch: list[_Asked] = []  # not going yet

    def in_order(self) -> Iterator[Future[Reply]]:
        """The places of the replies; raises BudgetSpent in place of one that there is no room for."""
        while True:
            self._fill()
            if not self._waiting:
                return
            if self._batch and self._batch[0] is self._waiting[0] and not self._go():
                raise self._chat._account.spent()  # nothing is under way that could make room
            yield self._waiting.popleft().reply

    def _fill(self) -> None:
        """Take requests, each full batch set going; one without room stays, and is tried again."""
        while len(self._batch) < self._size or self._go():
            request = next(self._source, None) if len(self._waiting) < self._most else None
            if request is None:
                break
            asked = self._chat._open(request)
            self._waiting.append(asked)
            if not asked.reply.done():
                self._batch.append(asked)
        if len(self._waiting) < self._most:  # the source has ended
            self._go()

    def _go(self) -> bool:
        if self._batch and not self._chat._submit(self._batch):
            return False
        self._batch = []
        return True
