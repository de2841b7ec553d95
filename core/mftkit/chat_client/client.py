"""The client of a chat model: many requests at a time, replies in order."""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Self

from mftkit.base.credentials import without_known_secrets
from mftkit.chat_client.budget import Budget
from mftkit.chat_client.reasoning import without_reasoning
from mftkit.interfaces.chat import ChatRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from mftkit.chat_client.reply_cache import ReplyCache
    from mftkit.interfaces.chat import ChatModel, Reply
    from mftkit.reporting.usage import Usage

GRACE = 3.0
"""Seconds that pending requests, which are paid for, are given to finish on closing."""
AHEAD = 2
"""Batches of requests per thread that are taken ahead of the reply that is awaited."""


@dataclass(frozen=True, eq=False)
class _Pending:
    request: ChatRequest
    identity: str
    reply: Future[Reply]


class ChatClient:
    """Asks a chat model, many requests at a time; replies come in the order of the requests.

    Every reply is on the disk before it is given out; asked again in the same order, the same requests have
    the same replies without a request to the model. Use it in a ``with`` statement.
    """

    def __init__(
        self, model: ChatModel, replies: ReplyCache, tell: Callable[[str], None], changed: Callable[[], None]
    ) -> None:
        self._model = model
        self._replies = replies
        self._tell = tell
        self._changed = changed
        self._budget = Budget(model.options)
        self._jobs: SimpleQueue[tuple[Sequence[_Pending], tuple[int, int]] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._closed = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @property
    def usage(self) -> Usage:
        """Number and cost of the requests."""
        return self._budget.usage()

    def ask(self, messages: Sequence[Mapping[str, str]], *, key: str | None = None, **sampling: Any) -> Reply:
        """Return the reply to one request; see ``ChatRequest`` for the arguments."""
        return next(self.ask_all([ChatRequest(tuple(messages), key, sampling)]))

    def ask_all(self, requests: Iterable[ChatRequest]) -> Iterator[Reply]:
        """Yield the replies to requests in order; many requests are sent at a time.

        Requests are taken from the iterable somewhat ahead of the replies. Raises ChatError in place of the reply that
        failed: BudgetSpent if the budget does not cover the request.
        """
        batches = _Batches(iter(requests), self)
        for future in batches.in_order():
            reply = future.result()
            self._changed()
            yield reply

    def close(self) -> None:
        """Send no more requests; pending ones, which are paid for, may finish briefly. Can be called repeatedly."""
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
        self._replies.close()

    def _open(self, request: ChatRequest) -> _Pending:
        """Register a request; its reply is set at once if it is on the disk."""
        identity = self._replies.identify(request)
        seed = int(identity[:8], 16) >> 1  # 31 bits, which every provider accepts
        pending = _Pending(replace(request, seed=seed), identity, Future())
        known = self._replies.find(identity)
        if known is not None:
            self._budget.add_cached(known)
            pending.reply.set_result(known)
        return pending

    def _submit(self, batch: Sequence[_Pending]) -> bool:
        """Send requests. Return False if the budget does not cover them at present."""
        reserved = self._budget.reserve([pending.request for pending in batch])
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
        """Run one thread; it is a daemon, so a request that hangs never delays the end of the program."""
        while (job := self._jobs.get()) is not None:
            if not self._closed.is_set():
                self._answer(*job)

    def _answer(self, batch: Sequence[_Pending], reserved: tuple[int, int]) -> None:
        replies: Sequence[Reply] = ()
        try:
            replies = self._model.replies([pending.request for pending in batch])
            replies = [_without_secrets(without_reasoning(reply)) for reply in replies]
            pairs = list(zip(batch, replies, strict=True))
            self._replies.record((pending.identity, reply) for pending, reply in pairs)
        except BaseException as error:  # raised where the reply is awaited
            self._budget.settle(reserved, replies)
            for pending in batch:
                pending.reply.set_exception(error)
            return
        self._budget.settle(reserved, replies)
        for pending, reply in pairs:
            pending.reply.set_result(reply)


def _without_secrets(reply: Reply) -> Reply:
    """The reply without a key that the server has sent back."""
    return replace(
        reply,
        text=without_known_secrets(reply.text),
        reasoning=without_known_secrets(reply.reasoning),
        finish_reason=without_known_secrets(reply.finish_reason),
    )


class _Batches:
    """The requests of one call, sent in batches ahead of the reply that is awaited."""

    def __init__(self, source: Iterator[ChatRequest], chat: ChatClient) -> None:
        self._source = source
        self._chat = chat
        self._size = chat._model.batch_size
        self._most = AHEAD * chat._model.concurrency * self._size
        self._waiting: deque[_Pending] = deque()
        self._batch: list[_Pending] = []  # not sent yet

    def in_order(self) -> Iterator[Future[Reply]]:
        """Yield the replies' futures. Raises BudgetSpent in place of a reply that the budget does not cover."""
        while True:
            self._fill()
            if not self._waiting:
                return
            if self._batch and self._batch[0] is self._waiting[0] and not self._send():
                raise self._chat._budget.spent()  # nothing is pending that could free budget
            yield self._waiting.popleft().reply

    def _fill(self) -> None:
        """Take requests and send each full batch; a batch that the budget does not cover is tried again later."""
        while len(self._batch) < self._size or self._send():
            request = next(self._source, None) if len(self._waiting) < self._most else None
            if request is None:
                break
            pending = self._chat._open(request)
            self._waiting.append(pending)
            if not pending.reply.done():
                self._batch.append(pending)
        if len(self._waiting) < self._most:  # the source has ended
            self._send()

    def _send(self) -> bool:
        if self._batch and not self._chat._submit(self._batch):
            return False
        self._batch = []
        return True
