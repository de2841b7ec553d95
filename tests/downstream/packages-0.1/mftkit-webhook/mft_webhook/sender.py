"""Posting in the background, so that a slow or dead server does not hold up a run."""

from __future__ import annotations

import json
import queue
import threading
import time
import urllib.request
from typing import Any

TIMEOUT = 5.0
"""Seconds that a server has to answer."""
PATIENCE = 10.0
"""Seconds that the end of a run waits for what is still to be posted."""


class Sender:
    """Posts messages to one URL, one after another, in a thread of its own."""

    def __init__(self, url: str, timeout: float = TIMEOUT, patience: float = PATIENCE) -> None:
        self.url = url
        self.timeout = timeout
        self.patience = patience
        self.failures: list[str] = []
        self._waiting: queue.Queue[dict[str, Any]] = queue.Queue()
        self._thread: threading.Thread | None = None

    def post(self, message: dict[str, Any]) -> None:
        """Post a message soon; returns at once and never raises."""
        self._waiting.put(message)
        if self._thread is None:
            # A daemon: were a post to hang for ever, the program could still end.
            self._thread = threading.Thread(target=self._work, daemon=True, name="mft-webhook")
            self._thread.start()

    def finish(self) -> None:
        """Wait for what is unsent. Raises RuntimeError that tells what could not be posted."""
        deadline = time.monotonic() + self.patience
        while self._waiting.unfinished_tasks and time.monotonic() < deadline:
            time.sleep(0.01)
        if unsent := self._waiting.unfinished_tasks:
            self.failures.append(f"{unsent} not answered within {self.patience:g} s")
        if self.failures:
            told = "; ".join(dict.fromkeys(self.failures))
            raise RuntimeError(f"not all was posted to the URL in MFT_WEBHOOK_URL: {told}")

    def _work(self) -> None:
        while True:
            message = self._waiting.get()
            try:
                self._send(message)
            except Exception as error:  # whatever a server or a URL does, the run goes on
                self.failures.append(f"{message['event']}: {type(error).__name__}: {error}")
            self._waiting.task_done()

    def _send(self, message: dict[str, Any]) -> None:
        if not self.url.lower().startswith(("http://", "https://")):
            raise ValueError("a URL that starts with http:// or https:// is wanted")
        body = json.dumps(message, default=str).encode()
        headers = {"Content-Type": "application/json", "User-Agent": "mftkit-webhook"}
        request = urllib.request.Request(self.url, data=body, headers=headers, method="POST")
        with urllib.request.urlopen(request, timeout=self.timeout):
            pass
