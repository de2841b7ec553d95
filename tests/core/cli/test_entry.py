"""What is raised becomes one message and an exit code."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from mftkit.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    from fixture_types import Install, Mft


@pytest.fixture
def spec_file(tmp_path: Path) -> Path:
    path = tmp_path / "s.json"
    path.write_text(json.dumps({"model": {"path": "o/m"}, "tasks": [{"name": "a", "train": "a.jsonl"}]}))
    return path


def test_a_users_mistake_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["spec", "check", str(tmp_path / "nothing.json")]) == 2
    assert capsys.readouterr() == ("", f"error: {tmp_path / 'nothing.json'}: no such file\n")


@pytest.mark.parametrize("command", ["run {}.json", "merge {} --output out", "report {}"])
def test_a_name_that_no_file_can_have_is_one_message(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command.format("x" * 300).split()) == 2
    assert re.fullmatch(r"error: [^\n]*too long[^\n]*\n", "".join(capsys.readouterr()))


@pytest.mark.parametrize("where", ["before", "after", "environment"])
def test_debug_shows_the_traceback(
    where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["spec", "check", str(tmp_path / "nothing.json")]
    if where == "environment":
        monkeypatch.setenv("MFT_DEBUG", "1")
    given = {"before": ["--debug", *command], "after": [*command, "--debug"], "environment": command}[where]
    assert main(given) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("Traceback (most recent call last)")
    assert captured.err.endswith("nothing.json: no such file\n")


@pytest.mark.parametrize(
    "arguments",
    [["rnu"], ["run"], ["run", "s.json", "--nothing"], ["plugins", "lst"], ["plugins", "list", "--kind"]],
)
def test_a_wrong_command_line_is_2(arguments: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    assert "Error" in captured.err


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["run", "--help"], ["plugins", "list", "--help"]])
def test_help_is_0_and_a_result(arguments: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    assert "Usage: mft" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("mftkit ")


FAULTY = """
    import mftkit
    class Faulty(mftkit.Loss):
        class Options(mftkit.Options):
            def model_post_init(self, context):
                {then}
        def statistics(self, tokens): ...
        def task_losses(self, totals): ...
    @mftkit.hookimpl
    def register_losses(register):
        register("faulty", Faulty, summary="s")
"""


@pytest.mark.parametrize("debug", [False, True])
def test_a_fault_of_the_program_is_1(debug: Any, install: Install, mft: Mft, spec_file: Path) -> None:
    site = install("faulty", {"faulty": "faulty_plugin"}, {"faulty_plugin": FAULTY.format(then="1 / 0")})
    done = mft("spec", "check", str(spec_file), "--set", "loss=faulty", *["--debug"] * debug, sites=(site,))
    assert done.returncode == 1
    assert done.stdout == ""
    message = 'plugin "faulty" (faulty 1.0) failed: ZeroDivisionError: division by zero; run again with --debug for the traceback\n'
    assert done.stderr.endswith(message)
    assert done.stderr.startswith("Traceback" if debug else message)


def test_a_component_that_lacks_a_method_is_the_plugins_fault(
    install: Install, mft: Mft, spec_file: Path
) -> None:
    source = """
import mftkit
class Lacking(mftkit.ModelAdapter):
    pass
@mftkit.hookimpl
def register_model_adapters(register):
    register("lacking", Lacking, summary="s")
"""
    site = install("lacking", {"lacking": "lacking_plugin"}, {"lacking_plugin": source})
    model = {
        "init": "random", "adapter": "lacking", "config": {"model_type": "llama"}, "tokenizer": {"train_bpe": 300},
    }  # fmt: skip
    given = f"model={json.dumps(model)}"
    done = mft("run", str(spec_file), "--dry-run", "--set", given, sites=(site,))
    assert (done.returncode, done.stdout) == (2, "")
    assert 'model-adapter "lacking" of lacking 1.0' in done.stderr
    assert "matches() is missing; load() is missing; head() is missing" in done.stderr


def test_an_interrupt_is_130(install: Install, tmp_path: Path, spec_file: Path) -> None:
    ready = tmp_path / "ready"
    wait = f"__import__('pathlib').Path({str(ready)!r}).touch(); __import__('time').sleep(60)"
    site = install("faulty", {"faulty": "faulty_plugin"}, {"faulty_plugin": FAULTY.format(then=wait)})
    path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep)
    process = subprocess.Popen(
        [sys.executable, "-m", "mftkit.cli", "spec", "check", str(spec_file), "--set", "loss=faulty"],
        env={**os.environ, "PYTHONPATH": path},
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 30
    while not ready.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in errors


def test_a_reader_that_leaves_is_no_error() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "mftkit.cli", "plugins", "list"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    process.wait(timeout=30)
    assert errors == b""


def test_spec_check(spec_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (spec_file.parent / "a.jsonl").write_text('{"prompt": "p", "answer": "a"}')
    assert main(["spec", "check", str(spec_file), "--set", "seed=3"]) == 0
    captured = capsys.readouterr()
    assert captured.err == "not checked: model.path: the checkpoint o/m on the hub\n"
    assert "no errors found" in captured.out
    assert main(["spec", "check", str(spec_file), "--set", "sed=3"]) == 2
    assert "sed: unknown key (given: 3)" in capsys.readouterr().err


def test_spec_schema_is_json_and_a_result(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["spec", "schema"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["required"] == ["model", "tasks"]
    assert captured.err == ""
