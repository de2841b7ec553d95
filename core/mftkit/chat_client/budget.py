"""Counts what chat models were asked and what it cost, against a budget."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from mftkit.interfaces.chat import BudgetSpent, ChatOptions
from mftkit.reporting.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mftkit.interfaces.chat import ChatRequest, Reply

MILLION = 1_000_000
PER_MESSAGE = 16
"""Upper limit on the tokens that a chat template adds per message."""


class Budget:
    """Counts tokens and decides whether the budget covers another request; used from several threads.

    The remaining budget assumes that every pending request takes the most that it may, with one token per byte of
    the prompt. So no more than the budget is spent if the provider respects ``reply_tokens``. A request that does not
    fit waits for those before it, so the point at which the budget ends depends only on the replies, not on how many
    requests were pending.
    """

    def __init__(self, options: ChatOptions) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._prompt = self._completion = 0
        self._asked = self._cached = 0
        self._reserved: list[tuple[int, int]] = []

    def usage(self) -> Usage:
        """Return the current usage."""
        with self._lock:
            cost = self._cost(self._prompt, self._completion)
            return Usage(self._asked, self._cached, self._prompt, self._completion, cost)

    def add_cached(self, reply: Reply) -> None:
        """Count a reply from the disk: an earlier run paid for it, and it counts like any other."""
        with self._lock:
            self._cached += 1
            self._add(reply)

    def reserve(self, requests: Sequence[ChatRequest]) -> tuple[int, int] | None:
        """Reserve budget for requests; None if they do not fit at present, which may change."""
        most = (sum(map(_prompt_tokens, requests)), sum(self._reply_tokens(request) for request in requests))
        with self._lock:
            prompt = self._prompt + most[0] + sum(prompt for prompt, _ in self._reserved)
            completion = self._completion + most[1] + sum(completion for _, completion in self._reserved)
            limits = self._options
            if limits.max_tokens is not None and prompt + completion > limits.max_tokens:
                return None
            if limits.max_cost is not None and self._cost(prompt, completion) > limits.max_cost:
                return None
            self._reserved.append(most)
            return most

    def settle(self, reserved: tuple[int, int], replies: Sequence[Reply]) -> None:
        """Replace a reservation by the cost of the replies; none if the requests failed."""
        with self._lock:
            self._reserved.remove(reserved)
            self._asked += len(replies)
            for reply in replies:
                self._add(reply)

    def spent(self) -> BudgetSpent:
        """Return the error for a request that does not fit while nothing is pending."""
        limits, usage = self._options, self.usage()
        parts = []
        if limits.max_tokens is not None:
            parts.append(f"{usage.tokens:,} of {limits.max_tokens:,} tokens (max_tokens)")
        if limits.max_cost is not None:
            parts.append(f"a cost of {usage.cost:.6g} of {limits.max_cost:.6g} (max_cost)")
        return BudgetSpent(
            f"the budget does not cover another request, whose reply may take {limits.reply_tokens:,} tokens: "
            f"spent so far: {' and '.join(parts)}; to continue, raise the budget and run again"
        )

    def _add(self, reply: Reply) -> None:
        self._prompt += reply.prompt_tokens
        self._completion += reply.completion_tokens

    def _cost(self, prompt: int, completion: int) -> float:
        return (prompt * self._options.price_in + completion * self._options.price_out) / MILLION

    def _reply_tokens(self, request: ChatRequest) -> int:
        return int(request.sampling.get("reply_tokens", self._options.reply_tokens))


def _prompt_tokens(request: ChatRequest) -> int:
    return sum(
        PER_MESSAGE + len(message["content"].encode("utf-8", "replace")) for message in request.messages
    )
