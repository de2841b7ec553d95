"""The example packages: built as each says, listed with their distributions, trained with, and their own tests."""

from __future__ import annotations

import contextlib
import importlib
import json
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from commands import mft
from forked import mft_forked, pytest_forked

PACKAGES = Path(__file__).parents[2] / "examples" / "plugins"

LLAMA = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": 256,
}
GPT2 = {"model_type": "gpt2", "n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 256}

SQUARE = {"name": "token-square", "options": {"scale": 0.5}}

COMPONENTS = {
    "mftkit-token-square": ("loss", "token-square"),
    "mftkit-gpt2": ("model-adapter", "gpt2"),
    "mftkit-next-fit": ("tokenization-mode", "next-fit"),
    "mftkit-torchjd": ("gradient-combiner", "upgrad"),
    "mftkit-webhook": ("callbacks", "webhook"),
}
WHOLE = {"loss": SQUARE, "config": GPT2, "tokenization": "next-fit"}
"""A spec that three of them are in; the fourth, of gradient combiners, asks for rows of one task and an adapter."""
COMBINED = {"gradients": "upgrad", "tokenization": "padding", "tuning": {"method": "lora", "rank": 4}}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that holds all packages, each as its own build makes it."""
    build = importlib.import_module("hatchling.build")
    target = tmp_path_factory.mktemp("site")
    for name in COMPONENTS:
        with contextlib.chdir(PACKAGES / name):
            wheel = build.build_wheel(str(target))
        with zipfile.ZipFile(target / wheel) as packed:
            packed.extractall(target)
        (target / wheel).unlink()
    return target


def write_spec(directory: Path, changes: dict[str, Any]) -> Path:
    """Two tiny tasks, and a tiny model from a random start, for two steps."""
    for task in ("double", "negate"):
        rows = [
            {
                "messages": [
                    {"role": "user", "content": f"{task} {n}"},
                    {"role": "assistant", "content": f"is {n}"},
                ]
            }
            for n in range(20)
        ]
        (directory / f"{task}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = changes.pop("config", LLAMA)
    spec = {
        "name": "tiny",
        "output": "run",
        "model": {"init": "random", "config": config, "tokenizer": {"train_bpe": 300}, "dtype": "float32"},
        "tuning": {"method": "full"},
        "tasks": [{"name": name, "train": [f"{name}.jsonl"], "valid": 0.2} for name in ("double", "negate")],
        "max_length": 64,
        "training": {"max_steps": 2, "batch_size": 4, "micro_batch_size": 2, "log_every": 1},
        **changes,
    }
    path = directory / "spec.json"
    path.write_text(json.dumps(spec))
    return path


def test_each_is_listed_with_its_distribution(site: Path, tmp_path: Path) -> None:
    done = mft("plugins", "list", "--json", cwd=tmp_path, sites=(site,))
    assert done.returncode == 0, done.stderr
    rows = {(row["kind"], row["name"]): row for row in json.loads(done.stdout)}
    for package, component in COMPONENTS.items():
        assert (rows[component]["distribution"], rows[component]["version"]) == (package, "0.1.0")
        assert rows[component]["status"] == "ok"


def test_gradients_are_combined_in_training(site: Path, tmp_path: Path) -> None:
    done = mft("run", write_spec(tmp_path, dict(COMBINED)), cwd=tmp_path, sites=(site,))
    assert done.returncode == 0, done.stderr
    check_run(tmp_path / "run", "mftkit-torchjd")


def check_run(run: Path, *packages: str) -> list[dict[str, Any]]:
    """It took both steps, and says what it was made with."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["event"] == "train"] == [1, 2]
    assert (lines[-1]["event"], lines[-1]["reason"]) == ("end", "finished")
    environment = (run / "environment.json").read_text()
    assert all(package in environment for package in packages)
    return lines


@pytest.mark.long
def test_their_own_tests_pass(site: Path, tmp_path: Path) -> None:
    tests = [str(PACKAGES / package / "tests") for package in COMPONENTS]
    arguments = ["-v", "-n", "0", "--import-mode=importlib", "-p", "no:cacheprovider"]
    arguments += ["--rootdir", str(PACKAGES), *tests]
    done = pytest_forked(arguments, cwd=tmp_path, sites=(site,))
    assert done.returncode == 0, done.stdout[-8000:]
    for package in COMPONENTS:
        assert f"{package}/tests/" in done.stdout


class Hook(BaseHTTPRequestHandler):
    """Keeps what is posted, and answers that the server is at fault."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append(json.loads(body))  # type: ignore[attr-defined]
        self.send_response(500)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Without a line for each request."""


@pytest.mark.long
def test_a_process_trains_with_them_and_a_server_that_refuses_events_hurts_nothing(
    site: Path, tmp_path: Path
) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    server.received = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/hook"
    done = mft_forked(
        "run", write_spec(tmp_path, dict(WHOLE)), cwd=tmp_path, sites=(site,),
        MFT_WEBHOOK_URL=url, NO_PROXY="127.0.0.1", no_proxy="127.0.0.1",
    )  # fmt: skip
    server.shutdown()
    server.server_close()
    assert done.returncode == 0, done.stderr
    lines = check_run(tmp_path / "run", "mftkit-token-square", "mftkit-gpt2", "mftkit-next-fit")
    posted: list[dict[str, Any]] = server.received  # type: ignore[attr-defined]
    assert (posted[0]["event"], posted[0]["tasks"]) == ("start", list(lines[0]["tasks"]))
    for event, line_event in (("validation", "valid"), ("train", "train")):
        metrics = [message["metrics"] for message in posted if message["event"] == event]
        assert metrics == [line for line in lines if line["event"] == line_event]
        assert metrics
    assert [Path(m["path"]).parent.name for m in posted if m["event"] == "checkpoint"][-1:] == ["checkpoints"]
    assert posted[-1] == {
        "event": "end",
        "run": "tiny",
        "output": str(tmp_path / "run"),
        "reason": "finished",
        "error": None,
    }
    warning = 'warning: plugin "webhook" (mftkit-webhook 0.1.0) failed in on_run_end: '
    assert warning in " ".join(done.stderr.split())
