"""What was asked and what it cost, and the budget that it is held against."""

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
"""Tokens that a chat template puts around a message, at most."""


class Budget:
    """Counts tokens, and says whether there is room for a request; used from several threads.

    Room is what is left when every request under way takes the most that it may: prompts are taken for as
    many tokens as they have bytes. So no more than the budget is spent, if the provider keeps to
    ``reply_tokens``; and as a request that does not fit waits for those before it, where the budget ends
    depends on the replies alone, not on how many were under way.
    """

    def __init__(self, options: ChatOptions) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._prompt = self._completion = 0
        self._asked = self._cached = 0
        self._reserved: list[tuple[int, int]] = []

    def usage(self) -> Usage:
        """As of now."""
        with self._lock:
            cost = self._cost(self._prompt, self._completion)
            return Usage(self._asked, self._cached, self._prompt, self._completion, cost)

    def from_disk(self, reply: Reply) -> None:
        """A request was answered from the disk: an earlier run has paid for it, and it counts like any other."""
        with self._lock:
            self._cached += 1
            self._add(reply)

    def reserve(self, requests: Sequence[ChatRequest]) -> tuple[int, int] | None:
        """Make room for requests; None where there is none at present, which may change."""
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
        """Requests were answered, or given up (no replies)."""
        with self._lock:
            self._reserved.remove(reserved)
            self._asked += len(replies)
            for reply in replies:
                self._add(reply)

    def spent(self) -> BudgetSpent:
        """What to raise where there is no room and nothing is under way."""
        limits, usage = self._options, self.usage()
        told = []
        if limits.max_tokens is not None:
            told.append(f"{usage.tokens:,} of {limits.max_tokens:,} tokens (max_tokens)")
        if limits.max_cost is not None:
            told.append(f"a cost of {usage.cost:.6g} of {limits.max_cost:.6g} (max_cost)")
        return BudgetSpent(
            f"the budget leaves no room for another request, whose reply may take {limits.reply_tokens:,} tokens: "
            f"spent are {' and '.join(told)}; raise the budget and run again to go on from here"
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
