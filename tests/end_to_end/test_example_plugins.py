"""Each example package: installed from its own directory, listed with its distribution, and trained with."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

PACKAGES = Path(__file__).parents[2] / "examples" / "plugins"
CALLBACKS = ("mftkit-webhook",)
MFT = (sys.executable, "-c", "import sys; from mftkit.cli import main; sys.exit(main())")

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

CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "mftkit-token-square": ("loss", "token-square", {"loss": SQUARE}),
    "mftkit-gpt2": ("model-adapter", "gpt2", {"config": GPT2}),
    "mftkit-next-fit": ("tokenization-mode", "next-fit", {"tokenization": "next-fit"}),
    "mftkit-torchjd": (
        "gradient-combiner",
        "upgrad",
        {"gradients": "upgrad", "tokenization": "padding", "tuning": {"method": "lora", "rank": 4}},
    ),
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process that finds the packages, which pip put into a directory of their own."""
    target = tmp_path_factory.mktemp("site")
    # Where the build backend is here, nothing need be fetched.
    isolation = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        *isolation,
        "--target",
        str(target),
    ]
    done = subprocess.run(
        [*command, *(str(PACKAGES / name) for name in (*CASES, *CALLBACKS))], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    paths = [str(target), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "HF_HUB_OFFLINE": "1"}


def mft(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run([*MFT, *arguments], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


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


@pytest.mark.long
@pytest.mark.parametrize("package", CASES)
def test_listed_with_its_distribution_and_trained_with(
    package: str, installed: dict[str, str], tmp_path: Path
) -> None:
    kind, name, changes = CASES[package]
    listed = json.loads(mft(installed, "plugins", "list", "--kind", kind, "--json"))
    (row,) = [row for row in listed if row["name"] == name]
    assert row["distribution"] == package
    assert row["version"] == "0.1.0"

    mft(installed, "run", str(write_spec(tmp_path, dict(changes))))
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["event"] == "train"] == [1, 2]
    assert lines[-1]["event"] == "end"
    assert lines[-1]["reason"] == "finished"
    environment = (tmp_path / "run" / "environment.json").read_text()
    assert package in environment


@pytest.mark.long
@pytest.mark.parametrize("package", [*CASES, *CALLBACKS])
def test_its_own_tests_pass(package: str, installed: dict[str, str], tmp_path: Path) -> None:
    tests = str(PACKAGES / package / "tests")
    command = [sys.executable, "-m", "pytest", "-q", "--import-mode=importlib", "-p", "no:cacheprovider"]
    command += ["--rootdir", tests, tests]
    done = subprocess.run(command, capture_output=True, text=True, env=installed, cwd=tmp_path)
    assert done.returncode == 0, done.stdout


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
def test_events_of_a_run_reach_a_server_and_its_refusal_hurts_nothing(
    installed: dict[str, str], tmp_path: Path
) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    server.received = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/hook"
    environment = {**installed, "MFT_WEBHOOK_URL": url, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    command = [*MFT, "run", str(write_spec(tmp_path, {}))]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    server.shutdown()
    server.server_close()
    assert done.returncode == 0, done.stderr
    posted: list[dict[str, Any]] = server.received  # type: ignore[attr-defined]
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    validations = [line for line in lines if line["event"] == "valid"]
    assert [message["metrics"] for message in posted[:-1]] == validations
    assert posted[-1] == {
        "event": "end",
        "run": "tiny",
        "output": str(tmp_path / "run"),
        "reason": "finished",
        "error": None,
    }
    warning = 'warning: plugin "webhook" (mftkit-webhook 0.1.0) failed in on_run_end: '
    assert warning in " ".join(done.stderr.split())
