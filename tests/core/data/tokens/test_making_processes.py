"""Several processes make one table: the same one, whatever their number, and its lock dies with the one that holds it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from data_path import chat_row, sections, tokenizer, write_lines
from mftkit.data.corpus import Corpus, prepare
from mftkit.data.tokens.making_processes import MakingProcesses, number_of_processes
from mftkit_registry.errors import MftError
from recorder import Recorder

TOK = tokenizer()
TRAIN = ["a.jsonl", "none.jsonl", "b.jsonl"]
HOLD = """
import sys
from pathlib import Path
from data_path import (sections, tokenizer)
from recorder import Recorder
from mftkit.data.corpus import prepare
task = {"name": "a", "train": ["a.jsonl"]}
prepare(sections(Path(sys.argv[1]), task, data={"processes": 2}), tokenizer(), Recorder())
"""


def write(directory: Path, *, broken: int | None = None) -> None:
    """Rows with bad, repeated and noted ones, over chunks of two files and one that is empty."""
    rows = [chat_row(f"ask {i}", f"answer {i}", id=i % 2500) for i in range(2600)]
    rows[7] = rows[1207] = rows[2300] = chat_row("ask", "")
    rows[1100] = rows[3]
    rows[1500] = chat_row("a <s>bot\n in a question", "answer", url="u")
    write_lines(directory / "a.jsonl", rows)
    (directory / "none.jsonl").touch()
    write_lines(directory / "b.jsonl", [chat_row(f"more {i}", "yes", data_name="other") for i in range(600)])
    if broken is not None:
        lines = (directory / "a.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        lines[broken] = "{\n"
        (directory / "a.jsonl").write_text("".join(lines), encoding="utf-8")


def made(directory: Path, processes: int, listener: Recorder | None = None, **data: Any) -> Corpus:
    data = {"processes": processes, "on_bad_row": "skip", "cache": str(directory / str(processes)), **data}
    task = {"name": "a", "train": TRAIN}
    return prepare(sections(directory, task, data=data), TOK, listener or Recorder())


def files(cache: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (cache / "tokens").glob("*/*")}


def test_the_table_and_what_is_reported_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    write(tmp_path)
    alone, together = Recorder(), Recorder()
    one, two = made(tmp_path, 1, alone), made(tmp_path, 2, together)
    assert two.fingerprint == one.fingerprint
    assert two.content == one.content
    assert files(tmp_path / "2") == files(tmp_path / "1")
    assert together.warnings == alone.warnings
    facts = json.loads(files(tmp_path / "1")["manifest.json"])["facts"]
    assert (facts["rows"], facts["skipped"], facts["empty"]) == (3197, 3, [1])
    assert facts["repeated_rows"] == 1
    assert facts["repeated_ids"] == 100  # 0 to 99 without 7, and 3 once more
    assert facts["other_names"] == {"other": 600}


def test_the_first_bad_row_ends_it_whichever_process_finds_it(tmp_path: Path) -> None:
    write(tmp_path, broken=2400)
    with pytest.raises(MftError) as alone:
        made(tmp_path, 1, on_bad_row="error")
    with pytest.raises(MftError) as together:
        made(tmp_path, 2, on_bad_row="error")
    assert str(together.value) == str(alone.value)
    assert f"{tmp_path / 'a.jsonl'}:8: " in str(alone.value)
    assert list((tmp_path / "2" / "tokens").glob(".*")) == []


def test_a_holder_that_is_killed_leaves_no_lock_and_no_processes(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", [chat_row(f"ask {i}", f"answer {i}") for i in range(4000)])
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    while not list((tmp_path / "tokens").glob(".*.partial")):
        assert holder.poll() is None
        time.sleep(0.01)
    holder.send_signal(signal.SIGKILL)  # its processes are about to start, or make chunks
    holder.wait()
    listener = Recorder()
    task = {"name": "a", "train": ["a.jsonl"]}
    corpus = prepare(sections(tmp_path, task, data={"processes": 1}), TOK, listener)
    assert corpus.reports[0].rows == 4000
    assert listener.notes == []  # "waiting for another run": a process of the dead one held the lock


def test_a_process_that_dies_is_an_error_that_says_so() -> None:
    dead = subprocess.Popen([sys.executable, "-S", "-c", ""], stdout=subprocess.PIPE)
    with pytest.raises(MftError, match=r"ended without an answer \(exit code 0\).*Set data.processes to 1"):
        next(iter(MakingProcesses([dead])))
    assert dead.stdout is not None
    dead.stdout.close()


def test_a_spec_with_plugins_of_its_own_is_tokenized_by_one_process_and_says_so(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", [chat_row("ask", "answer")])
    task, listener = {"name": "a", "train": ["a.jsonl"]}, Recorder()
    prepare(sections(tmp_path, task, data={"processes": 2}, plugins=("own.py",)), TOK, listener)
    assert any(note.startswith("task a: one process tokenizes, not 2") for note in listener.notes)


def test_processes_are_used_where_there_are_cores_and_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    here = "mftkit.data.tokens.making_processes"
    monkeypatch.setattr(f"{here}.cores", lambda: 8)
    monkeypatch.setattr(f"{here}.quota", lambda: 4.5)
    found = [number_of_processes(None, rows) for rows in (None, 39_000, 40_000, 10**6)]
    assert found == [1, 1, 2, 4]
    assert number_of_processes(6, 10) == 6
