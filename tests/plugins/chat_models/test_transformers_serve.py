"""The client against a server that somebody else wrote: transformers' own, with a tiny random model."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import mftkit
from mftkit.chat_client.client import ChatClient
from mftkit.chat_client.reply_cache import ReplyCache
from mftkit_plugins.chat_models.server import Server
from tiny_chat_model import tiny_chat_model

pytestmark = pytest.mark.long
pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Its address, and the model's directory, which is its name."""
    model = tiny_chat_model(tmp_path_factory.mktemp("model"))
    port, log = free_port(), tmp_path_factory.mktemp("log") / "log"
    code = "from transformers.cli.transformers import main; main()"
    command = [sys.executable, "-c", code, "serve", str(model), "--port", str(port), "--device", "cpu"]
    with log.open("w") as out:
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1"],
            stdout=out,
            stderr=out,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )
    try:
        until = time.monotonic() + 120
        while not answers(f"http://127.0.0.1:{port}/health"):
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1", model
    finally:
        server.kill()
        server.wait()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def test_many_requests_and_their_replies_again(served: tuple[str, Path], tmp_path: Path) -> None:
    url, path = served
    requests = [mftkit.ChatRequest.of(f"What is {i}?", temperature=0.0) for i in range(6)]
    for cached in (False, True):
        model = Server(Server.Options(model=str(path), base_url=url, reply_tokens=8, concurrency=3))
        with ChatClient(model, ReplyCache(tmp_path / "r", "x"), lambda _line: None, lambda: None) as chat:
            replies = list(chat.ask_all(requests))
        assert [reply.cached for reply in replies] == [cached] * 6
        for reply in replies:
            assert reply.finish_reason in ("length", "stop")
            assert 0 < reply.completion_tokens <= 8
            assert reply.prompt_tokens > 5


def test_another_model_is_refused_at_once(served: tuple[str, Path]) -> None:
    url, path = served
    model = Server(Server.Options(model=f"{path}-other", base_url=url))
    model.start(lambda _line: None)
    try:
        with pytest.raises(mftkit.ChatError, match=r"rejects the request \(400\)|has no model") as error:
            model.reply(mftkit.ChatRequest.of("hi"))
        assert error.value.exit_code == 2
    finally:
        model.close()
