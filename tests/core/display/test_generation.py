"""What is seen while rows are made."""

import io
from types import SimpleNamespace
from typing import Any

import pytest

from mftkit.display import console_reporter
from mftkit.display import plain as plain_module
from mftkit.display.generation import GenerationLine
from mftkit.reporting.generation_progress import GenerationProgress
from mftkit.reporting.usage import Usage


def state(usage: Usage | None = None, **changes: Any) -> GenerationProgress:
    made = GenerationProgress("exer\ncises", "maker", 100)
    if usage is not None:
        made.chats = [SimpleNamespace(usage=usage), SimpleNamespace(usage=Usage(1, 1, 1, 1, 0.5))]
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def test_everything_stands_on_one_line() -> None:
    made = state(Usage(9, 2, 1000, 500, 0.25), rows=40)
    made.counts.update({"kept": 40, "cut_off": 2})
    now = [0.0]
    line = GenerationLine(made, lambda: now[0])
    for rows, clock in ((40, 0.0), (60, 10.0)):
        made.rows, now[0] = rows, clock
        line.mark()
    assert line.text() == (
        "generating exer cises: 60 of 100 rows  cut off 2, kept 40  "
        "10 requests, 3 cached replies, 1,502 tokens, cost 0.75  0:00:20 left"
    )


def test_what_is_not_there_is_not_reported() -> None:
    made = state(goal=None, rows=7)
    assert GenerationLine(made).text() == "generating exer cises: 7 rows"
    assert (made.counts_text(), made.cost_text()) == ("", "")


def test_rows_from_the_disk_say_nothing_about_the_time_left() -> None:
    now = [0.0]
    made = state(Usage(cached=5))
    made.chats = made.chats[:1]
    line = GenerationLine(made, lambda: now[0])
    for rows in (10, 50):
        now[0] += 1
        made.rows = rows
        line.mark()
    assert not [fact for fact in line.facts() if "left" in fact]


def test_plain_lines_come_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_module, "BETWEEN", 0.0)
    messages = io.StringIO()
    made = state()
    with console_reporter(messages).generation(made) as changed:
        made.rows = 5
        changed()
    assert messages.getvalue() == "generating exer cises: 5 of 100 rows\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_a_bar_and_what_it_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    screen = Terminal()
    made = state(Usage(9, 0, 1000, 500, 0.25), rows=40)
    reporter = console_reporter(screen)
    with reporter.generation(made) as changed:
        changed()
        reporter._live.refresh()  # type: ignore[attr-defined]
        assert "40/100" in screen.getvalue()
        assert "1,502 tokens, cost 0.75" in screen.getvalue()
    assert reporter._live is None  # type: ignore[attr-defined]
