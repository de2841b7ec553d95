"""The cache: used while nothing has changed, whole or absent, made by one process at a time."""

import gzip
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_path import chat_row, sections, tokenizer, write_lines
from mftkit.data.corpus import Corpus, prepare
from mftkit.data.made.storage import cache_root
from mftkit.data.text import encoder
from mftkit.data.tokens.table import TokenTable
from mftkit_registry.errors import MftError
from recorder import Recorder

TOK = tokenizer()
PREPARE = """
import sys, time
from pathlib import Path
from data_path import (sections, tokenizer)
from recorder import Recorder
from mftkit.data.corpus import prepare
from mftkit.data.text.encoder import Encoder
from mftkit_registry.errors import MftError

fast = Encoder.encode

def encode(self, samples):
    print("batch", flush=True)
    time.sleep(float(sys.argv[2]))
    return fast(self, samples)

Encoder.encode = encode
tok = tokenizer()
print("ready", flush=True)
sys.stdin.readline()
try:
    made = prepare(sections(Path(sys.argv[1]), {"name": "a", "train": ["a.jsonl"]}), tok, Recorder())
except MftError as error:
    print("error", error, flush=True)
else:
    print("samples", len(made.train), made.train.lengths.sum(), made.reports[0].cached, flush=True)
"""


def write(cache: Path, count: int) -> None:
    write_lines(cache / "a.jsonl", [chat_row(f"ask {i}", f"answer {i}") for i in range(count)])


def made(cache: Path, listener: Recorder | None = None) -> Corpus:
    return prepare(sections(cache, {"name": "a", "train": ["a.jsonl"]}), TOK, listener or Recorder())


def process(cache: Path, wait: float = 0, before: Any = None) -> "subprocess.Popen[str]":
    """A process that is about to prepare the same data, and does so at ``go``."""
    return subprocess.Popen(
        [sys.executable, "-c", PREPARE, str(cache), str(wait)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=before,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip


def go(*processes: "subprocess.Popen[str]") -> None:
    for one in processes:
        assert one.stdout is not None
        assert one.stdin is not None
        assert one.stdout.readline() == "ready\n"
    for one in processes:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()


def tables(cache: Path) -> list[Path]:
    return [path.parent for path in (cache / "tokens").glob("*/manifest.json")]


def test_a_second_run_reads_what_the_first_one_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, 30)
    first = made(tmp_path)

    def encode(*_arguments: Any) -> None:
        raise AssertionError("tokenized again")

    monkeypatch.setattr(encoder.Encoder, "encode", encode)
    second = made(tmp_path)
    assert (first.reports[0].cached, second.reports[0].cached) == (False, True)
    assert second.fingerprint == first.fingerprint
    assert [s.tokens.tolist() for s in (second.train[i] for i in range(len(second.train)))] == [
        s.tokens.tolist() for s in (first.train[i] for i in range(len(first.train)))
    ]


def test_the_same_bytes_under_another_ending_are_read_by_it(tmp_path: Path) -> None:
    """A table of what was read as gzip is no answer to a file that is none by its name."""
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(json.dumps(chat_row("q", "answer")).encode()))
    task = {"name": "a", "valid": 0}
    prepare(sections(tmp_path, {**task, "train": [str(packed)]}), TOK, Recorder())
    plain = tmp_path / "a.jsonl"
    plain.write_bytes(packed.read_bytes())
    with pytest.raises(MftError, match=r"a\.jsonl:1: not UTF-8: these are gzip bytes"):
        prepare(sections(tmp_path, {**task, "train": [str(plain)]}), TOK, Recorder())


def test_a_changed_file_is_noticed_and_a_moved_one_is_known(tmp_path: Path) -> None:
    write(tmp_path, 30)
    first = made(tmp_path)
    text = (tmp_path / "a.jsonl").read_text(encoding="utf-8")
    (tmp_path / "a.jsonl").write_text(
        text.replace("answer 7", "ANSWER 7"), encoding="utf-8"
    )  # as long as before
    os.utime(tmp_path / "a.jsonl", (1, 1))
    changed = made(tmp_path)
    assert not changed.reports[0].cached
    assert changed.fingerprint != first.fingerprint
    (tmp_path / "a.jsonl").rename(tmp_path / "b.jsonl")
    moved = prepare(sections(tmp_path, {"name": "a", "train": ["b.jsonl"]}), TOK, Recorder())
    assert moved.reports[0].cached
    assert moved.train.origin(0).startswith(str(tmp_path / "b.jsonl:"))


def truncate(table: Path) -> None:
    with (table / "samples.arrow").open("r+b") as file:
        file.truncate(file.seek(0, 2) // 2)


def scribble(table: Path) -> None:
    rows = table / "samples.arrow"
    rows.write_bytes(bytes(rows.stat().st_size // 2) + rows.read_bytes()[rows.stat().st_size // 2 :])


def miscount(table: Path) -> None:
    manifest = json.loads((table / "manifest.json").read_text(encoding="utf-8"))
    (table / "manifest.json").write_text(json.dumps({**manifest, "samples": 3}), encoding="utf-8")


def flip(table: Path) -> None:
    """One bit of a token."""
    rows = table / "samples.arrow"
    content, first = bytearray(rows.read_bytes()), TokenTable(table).sample(0)[0][:8]
    content[content.index(first.astype(np.uint16).tobytes())] ^= 1
    rows.write_bytes(content)


def refact(table: Path) -> None:
    manifest = json.loads((table / "manifest.json").read_text(encoding="utf-8"))
    (table / "manifest.json").write_text(json.dumps({**manifest, "facts": {}}), encoding="utf-8")


def unmanifest(table: Path) -> None:
    (table / "manifest.json").write_text("{", encoding="utf-8")


def unrow(table: Path) -> None:
    (table / "samples.arrow").unlink()


@pytest.mark.parametrize("damage", [truncate, scribble, flip, miscount, refact, unmanifest, unrow])
def test_a_damaged_table_is_reported_and_rebuilt(tmp_path: Path, damage: Any) -> None:
    write(tmp_path, 30)
    first = made(tmp_path)
    damage(tables(tmp_path)[0])
    listener = Recorder()
    again = made(tmp_path, listener)
    assert not again.reports[0].cached
    assert any("is damaged and will be rebuilt" in warning for warning in listener.warnings)
    assert again.train.lengths.tolist() == first.train.lengths.tolist()
    assert made(tmp_path).reports[0].cached


def test_two_processes_prepare_once(tmp_path: Path) -> None:
    write(tmp_path, 30)
    both = [process(tmp_path, 0.5), process(tmp_path, 0.5)]
    go(*both)
    outputs = [one.communicate(timeout=60)[0].splitlines() for one in both]
    assert sorted(output.count("batch") for output in outputs) == [0, 1]
    assert len({tuple(output[-1].split()[:3]) for output in outputs}) == 1
    assert sorted(output[-1].split()[3] for output in outputs) == ["False", "True"]


def test_a_process_killed_while_writing_leaves_nothing_that_is_used(tmp_path: Path) -> None:
    write(tmp_path, 2500)  # three batches
    dying = process(tmp_path, 0.3)
    go(dying)
    assert dying.stdout is not None
    for _batch in range(2):
        assert dying.stdout.readline() == "batch\n"
    dying.send_signal(signal.SIGKILL)
    dying.communicate()
    assert tables(tmp_path) == [] or all(table.name.endswith(".partial") for table in tables(tmp_path))
    again = made(tmp_path)
    assert (again.reports[0].cached, again.reports[0].rows) == (False, 2500)
    assert list((tmp_path / "tokens").glob(".*")) == []
    assert made(tmp_path).reports[0].cached


def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path: Path) -> None:
    def no_more_than_64_kib() -> None:
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))

    write(tmp_path, 2500)
    limited = process(tmp_path, before=no_more_than_64_kib)
    go(limited)
    output = limited.communicate(timeout=60)[0].splitlines()
    assert output[-1].startswith(f"error cannot write {tmp_path / 'tokens'}")
    assert "no space left on the disk; free space, or set data.cache or MFT_CACHE" in output[-1]
    assert tables(tmp_path) == []
    assert list((tmp_path / "tokens").glob(".*")) == []


def test_a_cache_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    write(tmp_path, 3)
    (tmp_path / "file").touch()
    spec = sections(tmp_path, {"name": "a", "train": ["a.jsonl"]}, data={"cache": str(tmp_path / "file")})
    with pytest.raises(MftError, match="cannot write"):
        prepare(spec, TOK, Recorder())


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MFT_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_root(None) == tmp_path / "mftkit"
    monkeypatch.setenv("MFT_CACHE", str(tmp_path / "b"))
    assert cache_root(None) == tmp_path / "b"
    assert cache_root(str(tmp_path / "c")) == tmp_path / "c"
