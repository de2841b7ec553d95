"""Posting in the background, so that a slow or dead server does not hold up a run."""

from __future__ import annotations

import json
import queue
import threading
import time
import urllib.request
from typing import Any

TIMEOUT = 5.0
"""Seconds to wait for an answer of the server."""
PATIENCE = 10.0
"""Seconds to wait for unsent messages at the end of a run."""


class Sender:
    """Posts messages to one URL, one after another, in its own thread."""

    def __init__(self, url: str, timeout: float = TIMEOUT, patience: float = PATIENCE) -> None:
        self.url = url
        self.timeout = timeout
        self.patience = patience
        self.failures: list[str] = []
        self._waiting: queue.Queue[dict[str, Any]] = queue.Queue()
        self._thread: threading.Thread | None = None

    def post(self, message: dict[str, Any]) -> None:
        """Queue a message to post; returns immediately and never raises."""
        self._waiting.put(message)
        if self._thread is None:
            # A daemon thread, so that the program can end even if a post hangs forever.
            self._thread = threading.Thread(target=self._work, daemon=True, name="mft-webhook")
            self._thread.start()

    def finish(self) -> None:
        """Wait for unsent messages. Raises RuntimeError with the messages that could not be posted."""
        deadline = time.monotonic() + self.patience
        while self._waiting.unfinished_tasks and time.monotonic() < deadline:
            time.sleep(0.01)
        if unsent := self._waiting.unfinished_tasks:
            self.failures.append(f"{unsent} not answered within {self.patience:g} s")
        if self.failures:
            failures = "; ".join(dict.fromkeys(self.failures))
            raise RuntimeError(f"some messages could not be posted to the URL in MFT_WEBHOOK_URL: {failures}")

    def _work(self) -> None:
        while True:
            message = self._waiting.get()
            try:
                self._send(message)
            except Exception as error:  # no error of the server or the URL may stop the run
                self.failures.append(f"{message['event']}: {type(error).__name__}: {error}")
            self._waiting.task_done()

    def _send(self, message: dict[str, Any]) -> None:
        if not self.url.lower().startswith(("http://", "https://")):
            raise ValueError("the URL must start with http:// or https://")
        body = json.dumps(message, default=str).encode()
        headers = {"Content-Type": "application/json", "User-Agent": "mftkit-webhook"}
        request = urllib.request.Request(self.url, data=body, headers=headers, method="POST")
        with urllib.request.urlopen(request, timeout=self.timeout):
            pass
