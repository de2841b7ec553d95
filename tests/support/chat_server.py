"""A scripted server of the OpenAI interface: real HTTP on the loopback, content and faults by script."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "scripted"
NOUNS = ("list", "matrix", "string", "tree", "graph", "queue", "table", "number", "date", "token")
VERBS = ("sorts", "reverses", "counts", "merges", "filters", "parses", "copies", "splits", "joins", "checks")


@dataclass(frozen=True)
class Answer:
    """What the server does with one request."""

    text: str = ""
    finish: str = "stop"
    status: int = 200
    error: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    """Before anything is sent."""
    body: bytes | None = None
    """In place of a completion."""
    cut: bool = False
    """The connection is closed in the middle of the body."""
    usage: bool = True


Script = Callable[[dict[str, Any], int], Answer]
"""From a request's body and how many came before it to what is done with it."""


def drawn(prompt: str, choices: tuple[str, ...], salt: object = "") -> str:
    digest = hashlib.sha256(f"{salt}:{prompt}".encode()).digest()
    return choices[int.from_bytes(digest[:4]) % len(choices)]


def good(body: dict[str, Any], _number: int) -> Answer:
    """A good answer to whatever the built-in generators ask, decided by the messages alone."""
    prompt = "\n".join(message["content"] for message in body["messages"])
    return Answer(content(prompt))


def content(prompt: str) -> str:
    last = prompt.rsplit("\n\n", 1)[-1]
    mark = hashlib.sha256(prompt.encode()).hexdigest()[:6]
    if found := re.search(r"Give (\d+) exercises", prompt):
        return "Here they are:\n```json\n" + json.dumps(exercises(prompt, int(found[1]))) + "\n```"
    if prompt.startswith("Solve this exercise"):
        name = (re.search(r"`(\w+)\(", last) or ["", "solve"])[1]
        return f"```python\ndef {name}(value):\n    return sorted(value, key=str)  # {mark}\n```"
    if prompt.startswith("Below is a request"):
        return f"Make up exercises on {last.removeprefix('Request: ')[:60]}, with data of a shop ({mark})."
    return _instructed(prompt, mark)


def _instructed(prompt: str, mark: str) -> str:
    if found := re.match(r"Come up with (\d+) more tasks", prompt):
        start = int(re.findall(r"^(\d+)\.", prompt, re.MULTILINE)[-1])
        return "\n".join(f"{start + i}. {task(prompt, i)}" for i in range(int(found[1])))
    if "Is the task a classification task" in prompt:
        return drawn(prompt, ("Yes", "No.", "no"))
    if prompt.startswith("Make up"):
        return json.dumps([{"output": f"def made_{mark}(): ...", "input": drawn(prompt, ("", "x = 1"))}])
    if found := re.match(r'Divide the topic "(.*?)" into (\d+)', prompt):
        return json.dumps([f"part {i} of {found[1]}" for i in range(int(found[2]))])
    return f"About this one may say: {mark}."


def exercises(prompt: str, count: int) -> list[dict[str, str]]:
    made = []
    for i in range(count):
        verb, noun = drawn(prompt, VERBS, i), drawn(prompt, NOUNS, ("noun", i))
        mark = hashlib.sha256(f"{i}:{prompt}".encode()).hexdigest()[:6]
        made.append({"exercise": f"Write `{verb}_{noun}_{mark}(value)`, which {verb} a {noun} ({mark})."})
    return made


def task(prompt: str, i: int) -> str:
    verb, noun, other = (
        drawn(prompt, VERBS, i),
        drawn(prompt, NOUNS, ("noun", i)),
        drawn(prompt, NOUNS, (i, 2)),
    )
    mark = hashlib.sha256(f"{i}:{prompt}".encode()).hexdigest()
    return f"Explain how {mark[:4]} {mark[4:8]} code {verb} the {noun} of each {mark[8:12]} {other}."


class ChatServer:
    """A server that can be stopped and started again on its port; counts what it was asked."""

    def __init__(self, script: Script = good) -> None:
        self.script = script
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []
        self.most_at_once = 0
        self._under_way = 0
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def requests(self) -> int:
        return len(self.bodies)

    def counts(self) -> Counter[str]:
        """How often each body came."""
        return Counter(json.dumps(body, sort_keys=True) for body in self.bodies)

    def start(self) -> None:
        self._server = _Server(("127.0.0.1", self.port), _handler(self))
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def take(self, body: dict[str, Any], headers: dict[str, str]) -> Answer:
        with self._lock:
            number = len(self.bodies)
            self.bodies.append(body)
            self.headers.append(headers)
            self.times.append(time.monotonic())
            self._under_way += 1
            self.most_at_once = max(self.most_at_once, self._under_way)
        try:
            answer = self.script(body, number)
            time.sleep(answer.seconds)
        finally:
            with self._lock:
                self._under_way -= 1
        return answer


@contextmanager
def serving(script: Script = good) -> Iterator[ChatServer]:
    server = ChatServer(script)
    try:
        yield server
    finally:
        server.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is no news."""


def _handler(owner: ChatServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            self.send(
                200, json.dumps({"object": "list", "data": [{"id": MODEL, "object": "model"}]}).encode()
            )

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            answer = owner.take(body, {name.lower(): value for name, value in self.headers.items()})
            if answer.body is not None:
                data = answer.body
            elif answer.status != 200:
                data = json.dumps({"error": answer.error}).encode()
            else:
                data = json.dumps(completion(body, answer)).encode()
            self.send(answer.status, data, answer)

        def send(self, status: int, data: bytes, answer: Answer | None = None) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            for name, value in (answer.headers if answer else {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if answer and answer.cut else data)
            if answer and answer.cut:
                self.wfile.flush()
                self.connection.close()

    return Handler


def completion(body: dict[str, Any], answer: Answer) -> dict[str, Any]:
    prompt = sum(len(message["content"].split()) for message in body["messages"])
    made = len(answer.text.split())
    message = {"role": "assistant", "content": answer.text}
    usage = {"prompt_tokens": prompt, "completion_tokens": made, "total_tokens": prompt + made}
    return {
        "id": "1", "object": "chat.completion", "created": 1, "model": body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": answer.finish, "logprobs": None}],
        **({"usage": usage} if answer.usage else {}),
    }  # fmt: skip
