"""Asks a chat model for replies in a format, and asks again if a reply cannot be used."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import mftkit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Result = TypeVar("Result")


class BadReply(Exception):  # noqa: N818 - a verdict on a reply
    """A reply that cannot be used; the message is the reason in a word or two."""


@dataclass(frozen=True)
class Asking(Generic[Result]):
    """One stage of a generator: sends requests and parses the replies."""

    chat: mftkit.Chat
    report: Callable[..., None]
    stage: str
    """Name in counts that the user sees, as in "exercises: cut off 3"."""
    parse: Callable[[str], Result]
    """Reads a reply; raises BadReply."""
    tries: int
    """Most times that one request is sent."""

    def all(self, requests: Sequence[mftkit.ChatRequest]) -> list[Result | None]:
        """Return what the replies contain, in the order of the requests; None for a request that is given up.

        Replies are parsed in order, and requests with bad replies are sent again together, with another key, so that an
        interrupted generation repeats exactly the same requests. If the budget ends after some replies, those are used;
        otherwise BudgetSpent is raised.
        """
        found: list[Result | None] = [None] * len(requests)
        left = dict(enumerate(requests))
        for number in range(self.tries):
            try:
                left = self._attempt(left, number, found)
            except mftkit.BudgetSpent:
                if found.count(None) == len(found):
                    raise
                return found  # what was paid for is used; the next request raises the error again
        self._count("given up", found.count(None))
        return found

    def _attempt(
        self, left: dict[int, mftkit.ChatRequest], number: int, found: list[Result | None]
    ) -> dict[int, mftkit.ChatRequest]:
        """Send the requests in ``left``, by index, for the n-th time. Return those that have to be sent again."""
        again = {}
        requests = [replace(request, key=f"{request.key or ''} try {number}") for request in left.values()]
        for index, reply in zip(list(left), self.chat.ask_all(requests), strict=True):
            try:
                found[index] = self._parsed(reply)
            except BadReply as bad:
                self._count(str(bad))
                if reply.finish_reason != "context":  # the same messages would be too long again
                    again[index] = left[index]
        return again

    def _parsed(self, reply: mftkit.Reply) -> Result:
        if reply.finish_reason == "context":
            raise BadReply("too long for the model")
        if reply.finish_reason == "length":
            raise BadReply("cut off")
        if not reply.text.strip():
            raise BadReply("only reasoning" if reply.reasoning else "empty reply")
        if any("\ud800" <= character <= "\udfff" for character in reply.text):
            raise BadReply("no text")  # a lone surrogate, which cannot be written to a file
        return self.parse(reply.text)

    def _count(self, what: str, number: int = 1) -> None:
        if number:
            self.report(**{f"{self.stage}: {what}": number})


_TRIED = 1000
"""Brackets of a reply that may begin its list: a model that got stuck writes nothing else."""


def json_list(text: str) -> list[object]:
    """Return the JSON list in a reply: the whole reply, in a fenced block, or after some words. Raises BadReply."""
    decoder = json.JSONDecoder()
    for match in islice(re.finditer(r"\[", text), _TRIED):
        try:
            found, _end = decoder.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            continue
        if isinstance(found, list) and found:
            return found
    raise BadReply("wrong format")


def texts_of(item: object, *keys: str) -> list[str]:
    """Return the strings under some keys of a JSON object. Raises BadReply if one is missing or not a string."""
    if not isinstance(item, dict) or not all(isinstance(item.get(key), str) for key in keys):
        raise BadReply("wrong format")
    return [item[key].strip() for key in keys]


def good_items(items: Sequence[object], read: Callable[[object], Result]) -> list[Result]:
    """Return the items of a list that can be read. Raises BadReply if there are none."""
    found = []
    for item in items:
        try:
            found.append(read(item))
        except BadReply:
            continue
    if not found:
        raise BadReply("wrong format")
    return found


def code_block(text: str, language: str) -> str:
    """Return the code of a reply (see ``mftkit.answer_code``), in whatever block it is. Raises BadReply without any."""
    code = mftkit.answer_code(text, language, other_languages=True)
    if code is None:
        raise BadReply("no code")
    return code.strip("\n").rstrip()


def fence_around(code: str) -> str:
    """Return a fence of backticks that the code does not contain."""
    longest = max(map(len, re.findall("`{3,}", code)), default=2)
    return "`" * (longest + 1)


def model_name(ref: mftkit.ChatModelRef) -> str:
    """Return the model's name for rows: the name on its server, or the last part of its path."""
    options = ref.options
    return str(options.get("model") or Path(str(options.get("path") or ref.name)).name)


class GiveUp:
    """Ends a generator whose rounds give no rows, so that a model that never replies in the format costs no more."""

    MOST = 3
    """Consecutive rounds without a row after which to stop."""

    def __init__(self) -> None:
        self._rounds = 0

    def after(self, made: int) -> bool:
        """Return True if the generator should stop after this round, which made ``made`` rows."""
        self._rounds = 0 if made else self._rounds + 1
        return self._rounds >= self.MOST


def numbered(rows: Iterator[mftkit.JsonObject], name: str, task: str) -> Iterator[mftkit.JsonObject]:
    """Yield rows with an id and the fields that every row has."""
    for number, row in enumerate(rows, 1):
        yield {"id": f"{name}-{number:06d}", "data_name": task, "generator": name, **row}


def dialogue(prompt: str, answer: str) -> list[dict[str, str]]:
    """Return a question and its answer as messages of a row."""
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]


class Deduplicator:
    """Recognizes texts that occurred before, ignoring white space and case."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def __call__(self, text: str) -> bool:
        """Return True if the text occurs for the first time."""
        key = " ".join(text.lower().split())
        self._seen[key] += 1
        return self._seen[key] == 1
