from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING

from mftkit.display import console_reporter
from mftkit.display import plain as plain_module
from mftkit.display.plain import PlainReporter
from mftkit.reporting.lines import TaskValidation, ValidLine

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    import pytest


def played(scripted: ModuleType, directory: Path, ending: str = "finished") -> tuple[str, str]:
    messages, results = io.StringIO(), io.StringIO()
    with console_reporter(messages, results) as reporter:
        assert isinstance(reporter, PlainReporter)
        scripted.play(reporter, directory, 0.0, ending)
    return messages.getvalue(), results.getvalue()


def test_every_number_is_reported_in_lines_without_control_characters(
    scripted: ModuleType, tmp_path: Path
) -> None:
    messages, results = played(scripted, tmp_path / "run")
    assert all(c == "\n" or c.isprintable() for c in messages + results)
    rows = messages.split("\n")
    for line in scripted.lines():
        kind = "validation at step" if line["event"] == "valid" else "step"
        [found] = [
            text for text in rows if text.startswith((f"{kind} {line['step']} ", f"{kind} {line['step']}/"))
        ]
        assert f"{line['loss']:.4f}" in found
        for name, task in line["tasks"].items():
            assert f"{name} {'-' if task['loss'] is None else format(task['loss'], '.4f')}" in found
        if line["event"] == "train":
            assert "/300 " in found
            assert "tokens/s" in found
            assert "padding 3.7%" in found
            assert f"{line['learning_rate']:.2e}" in found
            assert f"{line['grad_norm']:.3f}" in found
            assert all(f"weight {task['weight']:.3f}" in found for task in line["tasks"].values())
    assert sum(" left " in text for text in rows) == 15


def test_a_validation_is_set_against_the_one_before(scripted: ModuleType, tmp_path: Path) -> None:
    messages, _ = played(scripted, tmp_path)
    lines = [text for text in messages.split("\n") if text.startswith("validation")]
    assert "(" not in lines[0]
    assert "best" not in lines[0]
    assert "repair 3.0403 (-1.4597)" in lines[1]
    assert "best so far" in lines[1]
    assert "repair 2.7060 (+0.4152)" in lines[3]


def test_a_run_that_resumes_knows_its_best(scripted: ModuleType, tmp_path: Path) -> None:
    played(scripted, tmp_path)
    messages = io.StringIO()
    reporter = console_reporter(messages)
    reporter.planned(scripted.plan(tmp_path))
    for step, loss in [(301, 1.98), (302, 1.97), (303, 1.9)]:
        reporter.validated(ValidLine(step, loss, {"repair": TaskValidation(loss)}))
    lines = messages.getvalue().split("\n")[-4:-1]
    assert ["best so far" in line for line in lines] == [False, False, True]
    assert "mean 1.9800 (+0.0240)" in lines[0]


def test_messages_and_results_go_to_their_own_streams(scripted: ModuleType, tmp_path: Path) -> None:
    messages, results = played(scripted, tmp_path / "run")
    assert "loss" in messages
    assert "warning: plugin [x] failed" in messages
    assert "finished after step 300" in results
    assert "warning" not in results
    assert "validation at" not in results


def test_the_plan_is_the_result_of_a_dry_run(scripted: ModuleType, tmp_path: Path) -> None:
    messages, results = io.StringIO(), io.StringIO()
    console_reporter(messages, results, dry_run=True).planned(scripted.plan(tmp_path))
    assert messages.getvalue() == ""
    assert "100,571" in results.getvalue()


def test_a_message_is_one_line() -> None:
    messages = io.StringIO()
    reporter = console_reporter(messages)
    reporter.note("a\nb")
    reporter.warn("c\r\nd\x1b[0m")
    assert messages.getvalue() == "a b\nwarning: c\\r d\\x1b[0m\n"


def test_what_the_encoding_lacks_is_escaped() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    console_reporter(stream).note("naïve")
    assert raw.getvalue() == b"na\\xefve\n"


def test_short_work_is_not_reported_of_and_long_work_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = io.StringIO()
    reporter = console_reporter(messages)
    with reporter.progress("reading", 10) as advance:
        advance(10)
    assert messages.getvalue() == ""
    monkeypatch.setattr(plain_module, "SHORT", 0.05)
    with reporter.progress("reading", 10) as advance:
        advance(3)
        time.sleep(0.15)
        advance(7)
    expected = ["reading: 3 of 10, about 0:00:00 left", "reading: done, 10 of 10 in 0:00:00", ""]
    assert messages.getvalue().split("\n") == expected


def test_work_that_never_advances_is_reported_of_while_it_resumes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_module, "SHORT", 0.05)
    messages = io.StringIO()
    with console_reporter(messages).progress("loading", None):
        time.sleep(0.15)
        assert messages.getvalue() == "loading ...\n"


def test_work_that_fails_is_not_reported_as_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_module, "SHORT", 0.0)
    messages = io.StringIO()
    work = console_reporter(messages).progress("reading", None)
    work.__enter__()(3)
    fault = ValueError("bad row")
    assert not work.__exit__(ValueError, fault, None), "the error goes on"
    assert "done" not in messages.getvalue()
