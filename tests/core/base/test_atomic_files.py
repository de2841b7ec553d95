import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from forked import start_code
from mftkit.base.atomic_files import disk_errors, new_directory, write_text
from mftkit_registry import MftError


def python(code: str, *arguments: Any, file_size: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``code`` in a process that may write files of ``file_size`` bytes at most."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        assert file_size is not None
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))

    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        preexec_fn=None if file_size is None else limit,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_new_directory_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "model"
    for text in ("one", "two"):
        with new_directory(target) as partial:
            assert not (partial / "a").exists()
            (partial / "a").write_text(text)
    assert (target / "a").read_text() == "two"
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_an_error_while_filling_leaves_the_old_one_alone(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with new_directory(target) as partial:
        (partial / "a").write_text("one")
    with pytest.raises(ValueError, match="half way"), new_directory(target) as partial:
        (partial / "a").write_text("two")
        raise ValueError("half way")
    assert (target / "a").read_text() == "one"
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


KILL = """
import os, pathlib, sys
from mftkit.base import atomic_files
target, when = pathlib.Path(sys.argv[1]), sys.argv[2]
with atomic_files.new_directory(target) as partial:
    (partial / "a").write_text("one")
def die(*_arguments, **_more):
    os.kill(os.getpid(), 9)
rename, remove = pathlib.Path.rename, atomic_files.shutil.rmtree
def rename_then_die(self, to):
    rename(self, to)
    die()
def remove_or_die(path, **more):
    die() if path.exists() else remove(path, **more)
if when == "renaming":
    pathlib.Path.rename = rename_then_die
elif when == "removing":
    atomic_files.shutil.rmtree = remove_or_die
with atomic_files.new_directory(target) as partial:
    (partial / "a").write_text("two")
    if when == "filling":
        die()
    (partial / "b").write_text("two")
"""


@pytest.mark.parametrize(
    ("when", "left"), [("filling", {"a": "one"}), ("renaming", {}), ("removing", {"a": "two", "b": "two"})]
)
def test_a_kill_leaves_a_whole_directory_or_none_and_the_next_clears_up(
    tmp_path: Path, when: str, left: dict[str, str]
) -> None:
    target = tmp_path / "step"
    assert python(KILL, target, when).returncode == -signal.SIGKILL
    found = {file.name: file.read_text() for file in target.iterdir()} if target.exists() else {}
    assert found == left
    with new_directory(target) as partial:
        (partial / "c").write_text("three")
    assert [entry.name for entry in tmp_path.iterdir()] == ["step"]
    assert [entry.name for entry in target.iterdir()] == ["c"]


def test_what_the_disk_says_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(MftError, match=r"cannot write .*spec\.json: Not a directory; make sure that its"):
        write_text(tmp_path / "file" / "spec.json", "{}")
    said = r"cannot write .*model: Not a directory; look elsewhere, then"
    with pytest.raises(MftError, match=said), new_directory(tmp_path / "file" / "model", "look elsewhere"):
        raise AssertionError("not reached")


def test_a_fault_of_another_file_is_not_the_disks(tmp_path: Path) -> None:
    target = tmp_path / "cache" / "table"
    for error in (
        PermissionError(13, "Permission denied", str(tmp_path / "rows.jsonl")),
        OSError("unreadable"),
        RuntimeError("shapes differ"),
        Exception("No such file or directory (os error 2)"),
        MftError("rows.jsonl:3: os error 28"),
    ):
        with pytest.raises(type(error)) as caught, disk_errors(target):
            raise error
        assert caught.value is error


WRITE_TEXT = """
import pathlib, sys
from mftkit.base.atomic_files import write_text
from mftkit_registry import MftError
path = pathlib.Path(sys.argv[1])
write_text(path, "short")
try:
    write_text(path, "long" * 10000)
except MftError as error:
    print(error)
"""

CHECKPOINT = """
import pathlib, resource, signal, sys, torch
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
from mftkit.runs.checkpoint import Checkpoint, CheckpointStore
from mftkit_registry import MftError
model, state = torch.zeros(MODEL), torch.zeros(STATE)
try:
    CheckpointStore(pathlib.Path.cwd()).write(3, Checkpoint({"w": model}, {"moments": state}, {}))
except MftError as error:
    print(error)
"""

VOCABULARY = """
import pathlib, sys
from tokenizers import Tokenizer, models
from mftkit.base.atomic_files import new_directory
from mftkit_registry import MftError
try:
    with new_directory(pathlib.Path(sys.argv[1])) as partial:
        Tokenizer(models.WordLevel({str(i): i for i in range(20000)}, "0")).save(str(partial / "tokenizer.json"))
except MftError as error:
    print(error)
"""


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    done = python(WRITE_TEXT, path, file_size=1 << 14)
    assert done.stdout == (
        f"cannot write {path}: no space left on the disk; free some space, then run again.\n"
    )
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [(path.name, "short")]


@pytest.mark.parametrize(
    ("model", "state", "said"),
    [(100_000, 1, "no space left on the disk"), (1, 100_000, "the disk is full or failing")],
    ids=["model", "state"],
)
def test_a_full_disk_leaves_no_checkpoint(tmp_path: Path, model: int, state: int, said: str) -> None:
    process = start_code(f"MODEL, STATE = {model}, {state}\n{CHECKPOINT}", tmp_path)
    written, errors = process.communicate()
    path = tmp_path / "step-00000003"
    assert (process.returncode, written) == (
        0,
        f"cannot write {path}: {said}; free some space, then run again.\n",
    ), errors
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_tokenizer(tmp_path: Path) -> None:
    done = python(VOCABULARY, tmp_path / "model", file_size=1 << 16)
    assert "model: no space left on the disk; free some space" in done.stdout, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_it_imports_nothing_heavy() -> None:
    code = "import sys, mftkit.base.atomic_files; assert not {'torch', 'safetensors', 'numpy'} & set(sys.modules)"
    assert python(code).returncode == 0
