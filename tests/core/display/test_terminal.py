"""The display on a real terminal: a pseudo-terminal with a process at its other end."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("scripted.py")
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


def on_terminal(directory: Path, ending: str, width: int, height: int = 40) -> tuple[str, str, int]:
    """What the terminal received, what standard output (a pipe) received, and the exit status."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    env = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), str(directory), "0.02", ending],
        stdin=theirs, stderr=theirs, stdout=subprocess.PIPE, text=True, env={**env, "TERM": "xterm-256color"},
    )  # fmt: skip
    os.close(theirs)
    received = b""
    try:
        while chunk := os.read(ours, 65536):
            received += chunk
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert process.stdout is not None
    with process.stdout:
        results = process.stdout.read()
    return received.decode(), results, process.wait()


def visible(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).replace("\r", "")


@pytest.mark.parametrize("ending", ["finished", "raises", "killed"])
def test_the_cursor_is_never_left_hidden(tmp_path: Path, ending: str) -> None:
    received, _, status = on_terminal(tmp_path / "run", ending, 100)
    assert {"finished": 0, "raises": 1, "killed": -9}[ending] == status
    assert "━" in received, "something was drawn"
    assert received.rfind(HIDE) <= received.rfind(SHOW)


def test_an_exception_is_reported_below_what_was_drawn(tmp_path: Path) -> None:
    received, _, _ = on_terminal(tmp_path / "run", "raises", 100)
    text = visible(received)
    assert "RuntimeError: the cable was pulled" in text
    assert "━" not in text[text.index("Traceback") :]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_run_is_drawn_at_any_width(tmp_path: Path, width: int) -> None:
    received, _, _ = on_terminal(tmp_path / "run", "finished", width)
    text = visible(received)
    joined = "".join(text.split())
    for part in ["four-tasks", "300/300", "learning rate 6.67e-05", "grad norm 1.030", "5,400 tokens/s"]:
        assert part in text
    assert "padding 3.7%" in text
    assert " left" in text
    assert re.search(r"repair +1\.7639 +1\.000 +402 +3", text)
    assert re.search(r"text-to-code 1\.8060 ↓(\n)?  repair 2\.7060 ↑", text), "entries stay whole"
    assert "mean1.9560↓bestsofar" in joined
    assert "warning: plugin [x] failed in on_step_end: this is told once" in text
    assert "…" not in text
    assert max(len(line) for line in text.split("\n")) <= width


def test_results_in_a_pipe_are_plain(tmp_path: Path) -> None:
    received, results, _ = on_terminal(tmp_path / "run", "finished", 100)
    assert "\x1b" not in results
    assert "finished after step 300" in results
    assert "perplexity" not in visible(received)


def test_a_low_window_still_shows_the_bar(tmp_path: Path) -> None:
    received, _, _ = on_terminal(tmp_path / "run", "finished", 100, height=9)
    assert "and 2 more tasks" in visible(received)
    assert "300/300" in visible(received)
