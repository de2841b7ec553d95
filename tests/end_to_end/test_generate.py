"""Generation by a chat model through the command line, against a scripted server: what is killed, stopped or
refused at any point goes on without a request that was answered before."""

from __future__ import annotations

import email
import json
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from chat_server import MODEL, Answer, ChatServer, good, serving
from forked import Forked, mft_forked, start_mft
from mftkit.cli import main
from small_runs import metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Generate = Callable[..., subprocess.CompletedProcess[str]]

ROOT = Path(__file__).parents[2]
SECRET = "sk-very-secret-0123456789"
CONCURRENCY = 4
KILLS = 3


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with serving() as made:
        yield made


@pytest.fixture
def project(tmp_path: Path, server: ChatServer) -> Path:
    write(tmp_path, server.url)
    return tmp_path


def write(project: Path, url: str, samples: int = 40, **chat: Any) -> None:
    """A spec whose one task is made by a chat model."""
    model = {
        "name": "openai",
        "options": {"model": MODEL, "base_url": url, "concurrency": CONCURRENCY, **chat},
    }
    options = {"model": model, "samples": samples, "exercises": 4, "round": 5}
    spec = {
        "name": "made",
        "model": {"path": "org/model"},
        "data": {"cache": "cache"},
        "tasks": [{"name": "exercises", "generator": {"name": "code-exercises", "options": options}}],
    }
    (project / "spec.json").write_text(json.dumps(spec))


@pytest.fixture
def generate(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """``mft generate``, or another command, in this process, which need not import everything again."""
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)

    def generated(
        project: Path, *more: str | Path, command: str = "generate"
    ) -> subprocess.CompletedProcess[str]:
        monkeypatch.chdir(project)
        arguments = [command, *map(str, more or ["spec.json"])]
        capsys.readouterr()
        code = main(arguments)
        return subprocess.CompletedProcess(arguments, code, *capsys.readouterr())

    return generated


def started(project: Path) -> Forked:
    return start_mft("generate", "spec.json", cwd=project)


def recorded(project: Path) -> int:
    """Replies that are whole on the disk."""
    return sum(path.read_bytes().count(b"\n") for path in project.glob("cache/generated/*/replies-*.jsonl"))


def rows_of(done: subprocess.CompletedProcess[str]) -> bytes:
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.split(": ", 1)[1].strip()).read_bytes()


def reach(server: ChatServer, number: int, process: Forked) -> None:
    """Wait until the server has had so many requests, or the process has ended."""
    while server.requests < number and process.poll() is None:
        time.sleep(0.002)


@pytest.mark.long
def test_a_generation_that_is_killed_again_and_again_pays_nothing_twice(
    generate: Generate, project: Path, server: ChatServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = tmp_path_factory.mktemp("whole")
    write(whole, server.url)
    expected = rows_of(generate(whole))
    needed = server.requests
    assert needed == recorded(whole) == len(server.counts())
    server.bodies.clear()

    server.script = lambda body, number: Answer(good(body, number).text, seconds=0.03)
    drawn = random.Random(5)
    for kill in range(KILLS):
        before, have = server.requests, recorded(project)
        process = started(project)
        reach(server, before + drawn.randrange(1, needed // (KILLS + 1)), process)
        time.sleep(drawn.random() * 0.05)
        assert process.poll() is None, "it was to be killed at work"
        process.kill()
        process.communicate()
        asked, kept = server.requests - before, recorded(project) - have
        assert kept <= asked <= kept + CONCURRENCY, f"kill {kill}: only what was under way may be lost"
        assert not list(project.glob("cache/generated/*/*/*/manifest.json"))
    server.script = good
    before, have = server.requests, recorded(project)
    assert have > 0
    assert rows_of(generate(project)) == expected
    assert server.requests - before == needed - have, "nothing on the disk is asked for again"
    assert recorded(project) == needed
    lost = sum(server.counts().values()) - len(server.counts())
    assert lost <= KILLS * CONCURRENCY
    before = server.requests
    assert rows_of(generate(project)) == expected
    assert server.requests == before


def test_a_signal_ends_it_soon_and_keeps_what_was_under_way(project: Path, server: ChatServer) -> None:
    server.script = lambda body, count: Answer(good(body, count).text, seconds=0.5 if count < 7 else 60)
    process = started(project)
    reach(server, 6, process)
    process.send_signal(signal.SIGTERM)
    at = time.monotonic()
    _out, err = process.communicate(timeout=30)
    assert process.returncode == 143, err
    assert time.monotonic() - at < 15
    assert "stopped by SIGTERM" in err
    assert recorded(project) >= 6


def test_a_server_that_dies_is_reported_and_resumed(
    generate: Generate, project: Path, server: ChatServer
) -> None:
    write(project, server.url, retries=2, longest_wait=0.1)

    def script(body: dict[str, Any], number: int) -> Answer:
        return good(body, number) if number < 12 else Answer(cut=True, text="half of it")

    server.script = script
    done = generate(project)
    assert done.returncode == 1, done.stderr
    assert "no longer responds (3 attempts)" in done.stderr
    assert "run again to continue" in done.stderr
    assert "Traceback" not in done.stderr
    have = recorded(project)
    assert have == 12
    server.stop()
    server.bodies.clear()
    server.script = good
    done = generate(project)
    assert done.returncode == 2, done.stderr
    assert "does not respond" in done.stderr
    assert recorded(project) == have
    server.start()
    rows_of(generate(project))
    assert server.requests == recorded(project) - have


def test_a_budget_ends_it_with_what_there_is_and_can_be_raised(
    generate: Generate, project: Path, server: ChatServer
) -> None:
    write(project, server.url, max_tokens=2500, reply_tokens=200)
    done = generate(project)
    some = rows_of(done)
    assert 0 < some.count(b"\n") < 40
    assert (
        f"warning: task exercises: only {some.count(bytes([10]))} of 40 rows were made: the budget"
        in done.stderr
    )
    assert "of 2,500 tokens (max_tokens); to continue, raise the budget and run again" in done.stderr
    [manifest] = project.glob("cache/generated/*/*/*/manifest.json")
    found = json.loads(manifest.read_text())
    assert "max_tokens" in found["stopped"]
    assert found["usage"]["prompt_tokens"] + found["usage"]["completion_tokens"] <= 2500
    spent = server.requests
    assert rows_of(generate(project)) == some
    assert server.requests == spent
    write(project, server.url, max_tokens=600_000, reply_tokens=200)
    done = generate(project)
    assert rows_of(done).startswith(some)
    assert rows_of(done).count(b"\n") == 40
    assert max(server.counts().values()) == 1
    assert json.loads(manifest.read_text())["stopped"] is None
    write(project, server.url, samples=50, reply_tokens=200)
    assert rows_of(generate(project)).startswith(some)
    assert max(server.counts().values()) == 1, "where more are wanted, what is there is not asked for again"
    write(project, server.url, max_tokens=100, reply_tokens=2000, temperature=0.5)
    none = generate(project)
    assert none.returncode == 2
    assert "made no rows: the budget does not cover another request" in none.stderr


def test_what_the_user_got_wrong_is_reported_in_one_message(
    generate: Generate, project: Path, server: ChatServer
) -> None:
    server.script = lambda _body, _number: Answer(status=401, error={"message": f"bad key {SECRET}"})
    done = generate(project)
    assert done.returncode == 2
    assert "rejects the key in OPENAI_API_KEY" in done.stderr
    assert SECRET not in done.stdout + done.stderr
    debug = mft_forked(
        "--debug", "generate", "spec.json", cwd=project, OPENAI_API_KEY=SECRET, OPENAI_LOG="debug"
    )
    assert "Traceback" in debug.stderr
    assert SECRET not in debug.stderr
    write(project, server.url, modle="x")
    done = generate(project)
    assert done.returncode == 2
    assert "tasks.0.generator.options.model.options.modle" in done.stderr
    assert 'did you mean "model"' in done.stderr


@pytest.mark.long
def test_the_example_is_made_by_a_server_and_trained_on(
    generate: Generate, server: ChatServer, tmp_path: Path
) -> None:
    settings = {
        "output": str(tmp_path / "run"),
        "data.cache": str(tmp_path / "cache"),
        "tasks.0.generator.options.samples": "60",
        "tasks.0.generator.options.model.options.base_url": server.url,
        "tasks.1.generator.options.samples": "60",
        "tasks.1.generator.options.paths": json.dumps([str(Path(email.__file__).parent)]),
        "training.max_steps": "4",
        "training.log_every": "1",
    }
    given = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    spec = ROOT / "examples" / "generate-exercises.json"
    done = generate(tmp_path, spec, *given, command="run")
    assert done.returncode == 0, done.stderr
    assert "code-exercises made 60 rows (kept 60;" in done.stderr
    lines = metrics(tmp_path / "run")
    assert lines[-1]["reason"] == "finished"
    assert {"code-exercises", "text-to-code"} == set(lines[0]["tasks"])
    components = json.loads((tmp_path / "run" / "environment.json").read_text())["components"]
    assert {"openai", "code-exercises"} <= {component["name"] for component in components}
    asked = server.requests
    again = generate(tmp_path, spec, *given)
    assert again.returncode == 0, again.stderr
    assert server.requests == asked
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]
    assert SECRET not in done.stdout + done.stderr
