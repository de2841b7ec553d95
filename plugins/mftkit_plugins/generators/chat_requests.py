"""Asking a chat model for something in a format, and asking again where the reply is of no use."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import mftkit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Result = TypeVar("Result")


class BadReply(Exception):  # noqa: N818 - a verdict on a reply
    """A reply that is of no use; says why, in a word or two."""


@dataclass(frozen=True)
class Asking(Generic[Result]):
    """One stage of a generator: what it asks, and what it makes of a reply."""

    chat: mftkit.Chat
    report: Callable[..., None]
    stage: str
    """In counts that the user sees: "exercises: cut off 3"."""
    parse: Callable[[str], Result]
    """Raises BadReply."""
    tries: int
    """Most times that one request is made."""

    def all(self, requests: Sequence[mftkit.ChatRequest]) -> list[Result | None]:
        """What the replies say, in the order of the requests; None for one that is given up.

        Each reply is judged in order, and those of no use are asked for again together, with another key, so
        that a stopped generation asks the very same. Where the budget ends after some replies, those are used;
        else BudgetSpent is raised.
        """
        found: list[Result | None] = [None] * len(requests)
        left = dict(enumerate(requests))
        for number in range(self.tries):
            try:
                left = self._wave(left, number, found)
            except mftkit.BudgetSpent:
                if found.count(None) == len(found):
                    raise
                return found  # what was paid for is used; the next request raises again
        self._count("given up", found.count(None))
        return found

    def _wave(
        self, left: dict[int, mftkit.ChatRequest], number: int, found: list[Result | None]
    ) -> dict[int, mftkit.ChatRequest]:
        """Ask what is left, by index, for the n-th time; returns what is to be asked again."""
        again = {}
        asked = [replace(request, key=f"{request.key or ''} try {number}") for request in left.values()]
        for index, reply in zip(list(left), self.chat.ask_all(asked), strict=True):
            try:
                found[index] = self._judged(reply)
            except BadReply as bad:
                self._count(str(bad))
                if reply.finish_reason != "context":  # the same messages stay too long
                    again[index] = left[index]
        return again

    def _judged(self, reply: mftkit.Reply) -> Result:
        if reply.finish_reason == "context":
            raise BadReply("too long for the model")
        if reply.finish_reason == "length":
            raise BadReply("cut off")
        if not reply.text.strip():
            raise BadReply("empty reply")
        if any("\ud800" <= character <= "\udfff" for character in reply.text):
            raise BadReply("no text")  # half a character, which no file can hold
        return self.parse(reply.text)

    def _count(self, what: str, number: int = 1) -> None:
        if number:
            self.report(**{f"{self.stage}: {what}": number})


def json_list(text: str) -> list[Any]:
    """The JSON list in a reply: all of it, within a fence, or after some words. Raises BadReply."""
    decoder = json.JSONDecoder()
    for match in re.finditer(r"\[", text):
        try:
            found, _end = decoder.raw_decode(text, match.start())
        except ValueError:
            continue
        if isinstance(found, list) and found:
            return found
    raise BadReply("not the format")


def texts_of(item: Any, *keys: str) -> list[str]:
    """The texts under some keys of an object of a reply. Raises BadReply where one is missing or no text."""
    if not isinstance(item, dict) or not all(isinstance(item.get(key), str) for key in keys):
        raise BadReply("not the format")
    return [item[key].strip() for key in keys]


def good_items(items: list[Any], read: Callable[[Any], Result]) -> list[Result]:
    """What can be read of a list; raises BadReply where nothing can."""
    found = []
    for item in items:
        try:
            found.append(read(item))
        except BadReply:
            continue
    if not found:
        raise BadReply("not the format")
    return found


def code_block(text: str) -> str:
    """Return the code of a reply: its longest closed block, or else the open one. Raises BadReply without any."""
    blocks = mftkit.code_blocks(text)
    closed = [block.code for block in blocks if block.closed]
    code = max(closed or [block.code for block in blocks], key=len, default="")
    if not code.strip():
        raise BadReply("no code")
    return code.strip("\n").rstrip()


def state(path: Path | None) -> str:
    """What a file holds, in short: rows made before are of use only while it is the same."""
    if path is None:
        return "as packaged"
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError:
        return "not there"  # told where it is read


def model_name(ref: mftkit.ChatModelRef) -> str:
    """What rows name the model by: as its server has it, or the last part of its path."""
    options = ref.options
    return str(options.get("model") or Path(str(options.get("path") or ref.name)).name)


class GiveUp:
    """Ends a generator whose rounds give nothing: a model that never answers in the format costs no more."""

    MOST = 3
    """Rounds in a row without a row."""

    def __init__(self) -> None:
        self._rounds = 0

    def after(self, made: int) -> bool:
        """Whether this round, which made so many rows, is one too many without any."""
        self._rounds = 0 if made else self._rounds + 1
        return self._rounds >= self.MOST


def numbered(rows: Iterator[dict[str, Any]], name: str, task: str) -> Iterator[dict[str, Any]]:
    """Rows, each with its id and the fields that every row has."""
    for number, row in enumerate(rows, 1):
        yield {"id": f"{name}-{number:06d}", "data_name": task, "generator": name, **row}


def dialogue(prompt: str, answer: str) -> list[dict[str, str]]:
    """A question and its answer, as a row has them."""
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]


class Deduplicator:
    """Tells what was there before, but for spaces and capitals."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def __call__(self, text: str) -> bool:
        """Whether this comes for the first time."""
        key = " ".join(text.lower().split())
        self._seen[key] += 1
        return self._seen[key] == 1
