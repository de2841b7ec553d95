"""docs/tutorial.md, from its first command to its last: what it says is what happens."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from commands import mft
from documents import ROOT, SHELLS, Block, blocks, commands
from forked import start_code, start_mft
from small_runs import metrics

PAGE = ROOT / "docs" / "tutorial.md"


def interrupt(words: list[str], place: Path) -> None:
    """Run ``mft``, and send Ctrl-C once it has trained a few steps."""
    process = start_mft(*words, cwd=place)
    path = place / "runs" / "tutorial" / "metrics.jsonl"
    while not (path.exists() and '"step": 3' in path.read_text()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130, process.communicate()


def follow(block: Block, place: Path) -> str:
    """Run the commands of a shell block; what they wrote."""
    written = ""
    for words in commands(block):
        if words[0] == "mft" and block.note == "interrupt":
            interrupt(words[1:], place)
        elif words[0] == "mft" and words[1] == "chat":
            process = start_mft(*words[1:], cwd=place)  # standard input is empty
            assert process.wait() == 0, process.communicate()
        elif words[0] == "mft":
            done = mft(*words[1:], cwd=place)
            assert done.returncode == (2 if block.note == "exit code 2" else 0), (words, done.stderr)
            written += done.stdout + done.stderr
        elif words[0] == "python":
            subprocess.run([sys.executable, *words[1:]], cwd=place, check=True)
        else:
            assert words[0] == "echo"
    return written


@pytest.mark.long
def test_it_leads_from_data_to_a_merged_model(tmp_path: Path) -> None:
    written = ""
    for block in blocks(PAGE):
        if block.file:
            (tmp_path / block.file).write_text(block.text, "utf-8")
        elif block.language in SHELLS and block.note != "not run":
            written += follow(block, tmp_path)
    assert 'did you mean "learning_rate"' in written
    assert "resuming from step" in written
    lines = metrics(tmp_path / "runs" / "tutorial")
    valid = [line["loss"] for line in lines if line["event"] == "valid"]
    assert lines[-1]["reason"] == "finished"
    assert valid[-1] < valid[0]
    assert json.loads((tmp_path / "merged" / "config.json").read_text())["model_type"] == "llama"
    [python] = [block for block in blocks(PAGE) if block.language == "python" and not block.file]
    script = tmp_path / "last.py"
    script.write_text(python.text, "utf-8")
    process = start_code(f"import runpy; runpy.run_path({str(script)!r}, run_name='__main__')", tmp_path)
    printed, error = process.communicate()
    assert process.wait() == 0, error
    assert "step" in printed
