import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import mft_webhook
import pytest
from mft_webhook.sender import Sender

import mftkit

RUN = mftkit.RunInfo(name="tiny", output="runs/tiny", spec={}, tasks=("one",))


@pytest.fixture
def server(monkeypatch):
    """A real server; ``received`` are the bodies, ``status`` and ``delay`` what it answers and after how long."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            serving.received.append((self.headers["Content-Type"], json.loads(body)))
            time.sleep(serving.delay)
            self.send_response(serving.status)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    serving = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving.received, serving.status, serving.delay = [], 200, 0.0
    serving.url = f"http://127.0.0.1:{serving.server_port}/hook"
    monkeypatch.setenv("MFT_WEBHOOK_URL", serving.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield serving
    serving.shutdown()
    serving.server_close()
    thread.join()


def test_events_are_posted_in_order(server):
    mft_webhook.on_run_start(run=RUN)
    mft_webhook.on_step_end(run=RUN, step=2, metrics={})
    mft_webhook.on_step_end(run=RUN, step=3, metrics={"event": "train", "loss": 2.5})
    mft_webhook.on_validation_end(run=RUN, step=3, metrics={"event": "valid", "mean": 1.5})
    mft_webhook.on_checkpoint(run=RUN, step=3, path=Path("runs/tiny/checkpoints/step-00000003"))
    mft_webhook.on_run_end(run=RUN, reason="finished", error=None)
    about = {"run": "tiny", "output": "runs/tiny"}
    assert {kind for kind, _ in server.received} == {"application/json"}
    path = str(Path("runs/tiny/checkpoints/step-00000003"))
    assert [message for _, message in server.received] == [
        {"event": "start", **about, "tasks": ["one"]},
        {"event": "train", **about, "step": 3, "metrics": {"event": "train", "loss": 2.5}},
        {"event": "validation", **about, "step": 3, "metrics": {"event": "valid", "mean": 1.5}},
        {"event": "checkpoint", **about, "step": 3, "path": path},
        {"event": "end", **about, "reason": "finished", "error": None},
    ]


def test_without_a_url_nothing_is_posted(server, monkeypatch):
    monkeypatch.delenv("MFT_WEBHOOK_URL")
    mft_webhook.on_run_end(run=RUN, reason="finished", error=None)
    assert server.received == []


def test_a_refusal_is_reported_at_the_end(server):
    server.status = 500
    mft_webhook.on_validation_end(run=RUN, step=3, metrics={})
    with pytest.raises(RuntimeError, match="validation: HTTPError: HTTP Error 500"):
        mft_webhook.on_run_end(run=RUN, reason="finished", error=None)
    assert len(server.received) == 2


def test_a_server_that_does_not_answer_holds_nothing_up(server):
    server.delay = 1.0
    sender = Sender(server.url, timeout=0.2, patience=2)
    begun = time.monotonic()
    sender.post({"event": "validation"})
    assert time.monotonic() - begun < 0.1
    with pytest.raises(RuntimeError, match="timed out"):
        sender.finish()


def test_the_end_waits_no_longer_than_its_patience(server):
    server.delay = 1.0
    sender = Sender(server.url, timeout=5, patience=0.1)
    sender.post({"event": "end"})
    begun = time.monotonic()
    with pytest.raises(RuntimeError, match=r"1 not answered within 0\.1 s"):
        sender.finish()
    assert time.monotonic() - begun < 0.5


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://127.0.0.1:9/hook", "nonsense"])
def test_a_url_that_leads_nowhere_is_reported_at_the_end(url, monkeypatch):
    monkeypatch.setenv("MFT_WEBHOOK_URL", url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    mft_webhook.on_validation_end(run=RUN, step=1, metrics={})
    with pytest.raises(RuntimeError, match="MFT_WEBHOOK_URL"):
        mft_webhook.on_run_end(run=RUN, reason="finished", error=None)
