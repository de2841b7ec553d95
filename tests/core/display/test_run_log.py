"""The log of a run: what is reported, with time stamps and without control characters."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from commands import mft
from mftkit.display.run_log import LoggedReporter
from mftkit.reporting.listener import Listener
from mftkit.reporting.reporter import Reporter
from mftkit_registry import MftError
from recorder import Recorder
from small_runs import rows, small_spec, write_rows

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d "


def test_everything_that_a_reporter_receives_is_passed_on() -> None:
    methods = {
        name
        for interface in (Listener, Reporter)
        for name, value in vars(interface).items()
        if callable(value) and not name.startswith("_")
    }
    states = {"state_dict", "load_state_dict"}  # reporters are not in checkpoints
    assert methods - states <= vars(LoggedReporter).keys()


def test_lines_wait_for_the_file_and_have_no_control_characters(tmp_path: Path) -> None:
    logged = LoggedReporter(Reporter())
    logged.note("before \x1b[31mred\r")
    logged.file.open_at(tmp_path / "log.txt")
    logged.warn("after\nit")
    logged.failed(MftError("a mistake"))
    try:
        raise ValueError("a fault")
    except ValueError as error:
        logged.failed(error)
    text = (tmp_path / "log.txt").read_text()
    assert re.match(
        rf"{STAMP}before \\x1b\[31mred\\r\n{STAMP}warning: after it\n{STAMP}error: a mistake\n", text
    )
    assert re.search(rf"{STAMP}Traceback .*\n(.*\n)+ {{20}}ValueError: a fault\n", text)


def test_a_file_that_cannot_be_written_is_reported_once(tmp_path: Path) -> None:
    seen = Recorder()
    logged = LoggedReporter(seen)
    logged.file.open_at(tmp_path / "nowhere" / "log.txt")
    logged.note("one")
    assert len(seen.warnings) == 1
    assert "log.txt cannot be written" in seen.warnings[0]


def test_a_run_writes_its_log_and_appends_when_it_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "data/big.jsonl", rows("big", 20))
    write_rows(tmp_path / "data/small.jsonl", rows("small", 8))
    spec = small_spec(training={"max_steps": 1, "evaluate_every": 10, "log_every": 1})
    (tmp_path / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
    done = mft("run", "spec.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for stream in (done.stdout, done.stderr):
        assert "\x1b" not in stream
        assert "\r" not in stream
    first = (tmp_path / "run/log.txt").read_text(encoding="utf-8")
    assert re.search(rf"{STAMP}step 1/1 ", first)
    assert "validation at step 0" in first
    assert "finished after step 1" in first
    assert "big" in first.split("step 1/1")[0], "the plan"
    done = mft("run", "spec.json", "--set", "training.max_steps=2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    both = (tmp_path / "run/log.txt").read_text(encoding="utf-8")
    assert both.startswith(first)
    assert "step 2/2" in both
