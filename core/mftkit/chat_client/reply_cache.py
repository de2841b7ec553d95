"""Replies of a chat model on the disk: each is stored before it is used, so that none is paid for twice."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections import Counter
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from mftkit.base.atomic_files import disk_errors
from mftkit.base.checksums import CHECKSUM, verify_checksum, with_checksum
from mftkit.chat_client.reasoning import without_reasoning
from mftkit.interfaces.chat import Reply

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from mftkit.interfaces.chat import ChatRequest


class ReplyCache:
    """Lines with request and reply, appended and flushed to the disk; used by one process at a time.

    A request's identity consists of the whole request (model, messages, sampling, key) and the number of equal ones
    before it, so that a generation that runs again finds its replies by sending the same requests. A last line that a
    kill cut short is removed.
    """

    def __init__(self, path: Path, identity: object) -> None:
        self._path = path
        self._identity = identity
        self._lock = threading.Lock()
        self._replies: dict[str, Reply] = {}
        self._asked: Counter[str] = Counter()
        self.damaged = 0
        """Number of lines that cannot be read; their requests are sent again."""
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._read()
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)

    def identify(self, request: ChatRequest) -> str:
        """Return the identity of a request that is about to be sent, numbered among equal ones."""
        asked = [self._identity, [dict(m) for m in request.messages], dict(request.sampling), request.key]
        digest = _digest(asked)
        number = self._asked[digest]
        self._asked[digest] += 1
        return _digest([digest, number])

    def find(self, identity: str) -> Reply | None:
        """Return the reply to a request, or None if it is not in the cache."""
        reply = self._replies.get(identity)
        return None if reply is None else replace(reply, cached=True)

    def record(self, replies: Iterable[tuple[str, Reply]]) -> None:
        """Write replies to the disk together. Raises MftError if the disk cannot be written."""
        found = list(replies)
        lines = "".join(_line(identity, reply) for identity, reply in found).encode(
            "utf-8", "backslashreplace"
        )
        with self._lock, disk_errors(self._path):
            written = 0
            while written < len(lines):
                written += os.write(self._file, lines[written:])
            os.fsync(self._file)
            self._replies.update(found)

    def close(self) -> None:
        """Close the file; nothing can be recorded afterwards. May be called once."""
        with self._lock:
            os.close(self._file)
            self._file = -1

    def _read(self) -> None:
        if not self._path.exists():
            return
        data = self._path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            os.truncate(self._path, len(whole))
        for line in whole.splitlines():
            try:
                entry = json.loads(line)
                verify_checksum(entry)
                entry.pop(CHECKSUM, None)
                identity = entry.pop("request")
                split = "reasoning" in entry
                reply = Reply(**entry)
                # Replies of earlier versions are as the model wrote them.
                self._replies[identity] = reply if split else without_reasoning(reply)
            except (ValueError, KeyError, TypeError, AttributeError):
                self.damaged += 1


def _line(identity: str, reply: Reply) -> str:
    entry = {"request": identity, **asdict(reply)}
    del entry["cached"]
    return json.dumps(with_checksum(entry)) + "\n"


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
