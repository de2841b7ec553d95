"""Where the processes of a run report failures: a thread of the main process that decides which failure came first.

Every process holds a connection to it. A connection that closes without a goodbye is a process that was killed, so a
kill is noticed at once, and keep-alive packets notice a lost node within half a minute. Times are measured here alone:
no decision compares the clocks of two processes.
"""

from __future__ import annotations

import json
import selectors
import signal
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mftkit.base.formatting import one_line

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.base.json_types import JsonObject

POLL = 0.1
"""Seconds between two checks of what is due."""
SETTLE = 2.0
"""Seconds in which a lost connection between processes may still be explained by the failure that caused it."""
NOTICE = 1.0
"""Seconds that the launcher has to leave a notice about a process that ended."""
ANSWER = 3.0
"""Seconds that a process has to report where it is."""
LAST_LINES = 5
"""Lines of a killed process's output that a message repeats."""


@dataclass(frozen=True)
class Failure:
    """The failure that ends a run of several processes."""

    rank: int
    text: str
    """What went wrong, and in which process."""
    exit_code: int = 1


@dataclass
class _Peer:
    connection: socket.socket
    received: bytes = b""
    rank: int = -1
    """-1 until it has introduced itself."""
    place: str = ""
    """Process id and host, for messages."""
    has_ended: bool = False
    """Whether it said goodbye, or reported why it ends."""
    step: int = 0
    advanced: float | None = None
    """When it last reported progress, by the clock of this process; None while it does not train."""
    stack: list[str] | None = None
    """Where it is, innermost first; None until it has answered."""
    is_waiting: bool = False
    """Whether it is inside an exchange of tensors, and so waits for another one."""


@dataclass
class _Open:
    """What is not decided yet."""

    consequence: tuple[float, Failure] | None = None
    lost: list[tuple[float, _Peer]] = field(default_factory=list)
    asked: float | None = None
    """When the processes were asked where they are."""


class FailureHub(threading.Thread):
    """Collects failures of ``count`` processes, and sends the first one to all of them."""

    def __init__(
        self, server: socket.socket, token: str, count: int, watchdog: float | None, notices: Path | None
    ) -> None:
        """``watchdog``: seconds without progress after which a run has failed; ``notices``: of the launcher."""
        super().__init__(name="mftkit failures", daemon=True)
        self._server, self._token, self._count = server, token, count
        self._watchdog, self._notices = watchdog, notices
        self._peers: list[_Peer] = []
        self._open = _Open()
        self._failure: Failure | None = None
        self._is_closing = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._selector.register(server, selectors.EVENT_READ)

    def close(self) -> None:
        """Say goodbye to all, and end the thread."""
        self._is_closing.set()
        self.join(5 * POLL)

    def run(self) -> None:
        """Serve until ``close``."""
        while not self._is_closing.is_set():
            for key, _ in self._selector.select(POLL):
                if key.data is None:
                    self._accept()
                else:
                    self._receive(key.data)
            self._decide_open()
            self._watch()
        self._send({"kind": "goodbye"})
        for peer in self._peers:
            peer.connection.close()
        self._server.close()

    def _accept(self) -> None:
        connection, _ = self._server.accept()
        connection.settimeout(1.0)
        keep_alive(connection)
        peer = _Peer(connection)
        self._peers.append(peer)
        self._selector.register(connection, selectors.EVENT_READ, peer)

    def _receive(self, peer: _Peer) -> None:
        try:
            data = peer.connection.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            self._drop(peer)
            if peer.rank >= 0 and not peer.has_ended:
                self._open.lost.append((time.monotonic(), peer))
            return
        *lines, peer.received = (peer.received + data).split(b"\n")
        for line in lines:
            with suppress(ValueError):
                self._handle(peer, json.loads(line))

    def _drop(self, peer: _Peer) -> None:
        self._selector.unregister(peer.connection)
        self._peers.remove(peer)
        peer.connection.close()

    def _handle(self, peer: _Peer, message: dict[str, Any]) -> None:
        kind = message.get("kind")
        if peer.rank < 0:  # anybody may connect: only processes of this run know the token
            if message.get("token") != self._token:
                self._drop(peer)
                return
            peer.rank, peer.place = message["rank"], message["place"]
            if self._failure is not None:
                self._send(_message(self._failure), [peer])
        elif kind == "goodbye":
            peer.has_ended, peer.advanced = True, None
        elif kind == "failed":
            peer.has_ended = True
            name = f"process {peer.rank} of {self._count}"
            failure = Failure(peer.rank, f"{name} failed: {message['text']}", message["exit_code"])
            if not message["is_consequence"]:
                self._decide(failure)
            elif self._open.consequence is None:
                self._open.consequence = (time.monotonic(), failure)
        elif kind == "progress":
            peer.step = message["step"]
            peer.advanced = None if message["is_over"] else time.monotonic()
        elif kind == "stack":
            peer.stack, peer.is_waiting = message["stack"], message["is_waiting"]

    def _decide_open(self) -> None:
        """Decide what was not clear at once: a lost connection may have a reason that comes later."""
        now = time.monotonic()
        for since, peer in self._open.lost:
            notice = read_notice(self._notices, peer.rank)
            if notice is not None or self._notices is None or now - since > NOTICE:
                self._decide(lost(peer.rank, self._count, peer.place, notice))
        if self._open.consequence is not None and now - self._open.consequence[0] > SETTLE:
            self._decide(self._open.consequence[1])

    def _watch(self) -> None:
        """Fail the run if a process has made no progress for too long."""
        if self._watchdog is None or self._failure is not None:
            return
        now = time.monotonic()
        if self._open.asked is not None:
            if all(peer.stack for peer in self._peers) or now - self._open.asked > ANSWER:
                self._decide(self._hang(self._watchdog))
        elif any(p.advanced is not None and now - p.advanced > self._watchdog for p in self._peers):
            self._open.asked = now
            self._send({"kind": "where"})

    def _hang(self, seconds: float) -> Failure:
        last = max(peer.step for peer in self._peers)
        behind = [peer for peer in self._peers if peer.step < last]
        behind = behind or [peer for peer in self._peers if not peer.is_waiting] or self._peers
        places = "; ".join(
            f"process {peer.rank} of {self._count} ({peer.place}) is behind, after step {peer.step}, in "
            + (" < ".join(peer.stack) if peer.stack else "native code that does not release the interpreter")
            for peer in sorted(behind, key=lambda peer: peer.rank)
        )
        return Failure(
            behind[0].rank, f"no step has ended for {seconds:g} s (training.watchdog): {one_line(places)}"
        )

    def _decide(self, failure: Failure) -> None:
        if self._failure is None:
            self._failure = failure
            self._send(_message(failure))
        self._open = _Open()

    def _send(self, message: JsonObject, peers: list[_Peer] | None = None) -> None:
        data = json.dumps(message).encode() + b"\n"
        for peer in self._peers if peers is None else peers:
            with suppress(OSError):  # its end is noticed when it is read
                peer.connection.sendall(data)


def _message(failure: Failure) -> JsonObject:
    return {
        "kind": "failure",
        "rank": failure.rank,
        "text": failure.text,
        "exit_code": failure.exit_code,
    }


def keep_alive(connection: socket.socket) -> None:
    """Let the system notice within half a minute that the other machine is gone, where it can be asked to."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def read_notice(directory: Path | None, rank: int) -> JsonObject | None:
    """What the launcher wrote about the end of a process: its exit code and its last lines; None without a notice."""
    if directory is None:
        return None
    try:
        notice = json.loads((directory / f"{rank}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return notice if isinstance(notice, dict) else None


def lost(rank: int, count: int, place: str, notice: JsonObject | None) -> Failure:
    """The failure of a process that ended without a message."""
    name, how, code = f"process {rank} of {count} ({place})", "ended without a message", 1
    if notice is not None:
        code = int(str(notice.get("code", 1)))
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    if -code == signal.SIGKILL:
        how += ", often by the system for lack of memory"
    lines = notice.get("lines") if notice is not None else None
    if isinstance(lines, list) and lines:
        how += f"; its last lines: {' | '.join(map(str, lines[-LAST_LINES:]))}"
    return Failure(rank, one_line(f"{name} {how}"), code if code > 0 else 128 - code)
