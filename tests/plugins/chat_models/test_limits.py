"""A server that never ends its answer, against real sockets on the loopback."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress

import pytest

import mftkit
from mftkit_plugins.chat_models import limits
from mftkit_plugins.chat_models.server import Server

JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
Send = Callable[[bytes], None]


def drips_its_body(send: Send) -> None:
    send(JSON + b"Content-Length: 1000000\r\n\r\n")
    while True:
        send(b" ")
        time.sleep(0.05)


def drips_its_headers(send: Send) -> None:
    send(JSON)
    while True:
        send(b"x")
        time.sleep(0.05)


def sends_headers_for_ever(send: Send) -> None:
    send(JSON)
    while True:
        send(b"X-Header: " + b"x" * 1000 + b"\r\n")


def sends_for_ever(send: Send) -> None:
    send(JSON + b"\r\n")
    while True:
        send(b" " * 65536)


def sends_an_endless_error(send: Send) -> None:
    send(JSON.replace(b"200 OK", b"400 No") + b"\r\n")
    while True:
        send(b"x" * 65536)


def compresses(send: Send) -> None:
    body = gzip.compress(b" " * 1_000_000)
    send(JSON + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def nests(send: Send) -> None:
    send(JSON + b"Connection: close\r\n\r\n" + b"[" * 100_000)


def redirects_to_itself(send: Send) -> None:
    send(b"HTTP/1.1 307 Elsewhere\r\nLocation: /v1/chat\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        (drips_its_body, "no complete answer within 1 s"),
        (drips_its_headers, "no complete answer within 1 s"),
        (sends_headers_for_ever, "does not respond"),
        (sends_for_ever, "sends more than 4 MiB in answer to one request"),
        (sends_an_endless_error, "sends more than 4 MiB in answer to one request"),
        (compresses, r"compresses its answer \(gzip\)"),
        (nests, "invalid reply: it is nested too deeply"),
        (redirects_to_itself, "redirect"),
    ],
)
def test_it_is_given_up(
    monkeypatch: pytest.MonkeyPatch, behaviour: Callable[[Send], None], said: str
) -> None:
    monkeypatch.setattr(limits, "MOST_BYTES", 4 << 20)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-any")
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        threading.Thread(target=_serve, args=(listening, behaviour), daemon=True).start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        model = Server(Server.Options(model="m", base_url=url, timeout=0.2, retries=0))
        model.start(print)
        started = time.monotonic()
        with closing(model), pytest.raises(mftkit.ChatError, match=said):
            model.reply(mftkit.ChatRequest.of("two words", "a key"))
    assert time.monotonic() - started < 5


def _serve(listening: socket.socket, behaviour: Callable[[Send], None]) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        threading.Thread(target=_answer, args=(connection, behaviour), daemon=True).start()


def _answer(connection: socket.socket, behaviour: Callable[[Send], None]) -> None:
    with connection, suppress(OSError):
        request = b""
        while b"\r\n\r\n" not in request:
            request += connection.recv(65536)
        length = int(request.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        while len(request.split(b"\r\n\r\n", 1)[1]) < length:
            request += connection.recv(65536)
        behaviour(connection.sendall)
