"""The decision which failure came first, over real connections."""

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mftkit.training.failure_hub import Failure, FailureHub, lost


class Peer:
    def __init__(self, port: int, rank: int, token: str = "secret") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.lines = self.socket.makefile("r")
        self.send(token=token, rank=rank, place=f"PID {rank} on host")

    def send(self, **message: Any) -> None:
        self.socket.sendall(json.dumps(message).encode() + b"\n")

    def failed(self, text: str, *, is_consequence: bool = False) -> None:
        self.send(kind="failed", text=text, exit_code=1, is_consequence=is_consequence)

    def receive(self) -> Any:
        return json.loads(self.lines.readline())

    def close(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)
        self.lines.close()
        self.socket.close()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Any]:
    opened: list[Any] = []

    def start(count: int, watchdog: float | None = None, notices: Path | None = None) -> list[Peer]:
        server = socket.create_server(("127.0.0.1", 0))
        hub = FailureHub(server, "secret", count, watchdog, notices)
        hub.start()
        opened.append(hub)
        peers = [Peer(server.getsockname()[1], rank) for rank in range(count)]
        opened.extend(peers)
        return peers

    yield start
    for each in opened:
        try:
            each.close()
        except OSError:
            continue


def test_a_lost_connection_is_explained_by_the_failure_that_comes_after_it(hub: Any) -> None:
    peers = hub(3)
    peers[0].failed("Connection closed by peer", is_consequence=True)
    peers[2].failed("out of memory")
    for peer in peers:
        assert peer.receive() == {
            "kind": "failure", "rank": 2, "text": "process 2 of 3 failed: out of memory", "exit_code": 1,
        }  # fmt: skip


def test_a_lost_connection_that_nothing_explains_is_the_failure(hub: Any) -> None:
    peers = hub(2)
    peers[0].failed("Connection closed by peer", is_consequence=True)
    assert peers[1].receive()["text"] == "process 0 of 2 failed: Connection closed by peer"


def test_a_process_that_says_goodbye_is_not_lost_and_one_that_does_not_is(hub: Any) -> None:
    peers = hub(3)
    peers[1].send(kind="goodbye")
    peers[1].close()
    peers[2].close()
    assert peers[0].receive()["text"] == "process 2 of 3 (PID 2 on host) ended without a message"


def test_a_stranger_is_not_heard(hub: Any) -> None:
    peers = hub(2)
    stranger = Peer(peers[0].socket.getpeername()[1], 0, token="guessed")
    assert stranger.lines.readline() == ""
    peers[1].failed("a real one")
    assert peers[0].receive()["text"] == "process 1 of 2 failed: a real one"
    stranger.close()


def test_the_process_that_does_not_wait_for_another_one_is_behind(hub: Any) -> None:
    peers = hub(2, 0.2)
    for peer in peers:
        peer.send(kind="progress", step=4, is_over=False)
        assert peer.receive() == {"kind": "where"}
    peers[0].send(kind="stack", stack=["loop.py:1 train"], is_waiting=True)
    peers[1].send(kind="stack", stack=["mine.py:7 statistics", "loop.py:1 train"], is_waiting=False)
    assert peers[0].receive()["text"] == (
        "no step has ended for 0.2 s (training.watchdog): process 1 of 2 (PID 1 on host) is behind, after step 4, in "
        "mine.py:7 statistics < loop.py:1 train"
    )


def test_a_run_that_is_over_is_not_watched(hub: Any) -> None:
    peers = hub(2, 0.2)
    for peer in peers:
        peer.send(kind="progress", step=4, is_over=False)
        peer.send(kind="progress", step=4, is_over=True)
    peers[1].socket.settimeout(0.6)
    with pytest.raises(TimeoutError):
        peers[1].socket.recv(1)


def test_the_launcher_says_how_a_process_ended(tmp_path: Path) -> None:
    found = lost(1, 2, "PID 5 on a", {"code": -signal.SIGKILL, "lines": ["one", "two\x1b[0m"]})
    assert found == Failure(
        1,
        "process 1 of 2 (PID 5 on a) was ended by SIGKILL, often by the system for lack of memory; its last lines: one "
        "| two\\x1b[0m",
        137,
    )
    assert lost(1, 2, "PID 5 on a", {"code": 3}).text == "process 1 of 2 (PID 5 on a) ended with exit code 3"
