"""An output directory: one process at a time, one spec, and nothing removed that was not written by the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import mftkit
from mftkit.runs.directory import RunDirectory
from mftkit.runs.output_directory import OutputDirectory
from mftkit.spec.spec import Spec
from mftkit.tools.compare.directory import ComparisonDirectory
from small_runs import small_spec

KINDS = [RunDirectory, ComparisonDirectory]


def spec(directory: Path, **changes: Any) -> Spec:
    return mftkit.load_spec(small_spec(**changes), directory=directory)


def write_spec(path: Path, content: dict[str, Any]) -> None:
    path.mkdir(exist_ok=True)
    (path / "spec.json").write_text(json.dumps(content))


@pytest.mark.parametrize("kind", KINDS)
def test_a_directory_in_use_is_refused(kind: type[OutputDirectory], tmp_path: Path) -> None:
    with (
        kind(tmp_path / "out"),
        pytest.raises(mftkit.MftError, match=f"{kind.key}: .* is in use by another {kind.content}; wait"),
        kind(tmp_path / "out"),
    ):
        raise AssertionError("not reached")


@pytest.mark.parametrize("kind", KINDS)
def test_a_directory_in_which_nothing_began_is_removed_again(
    kind: type[OutputDirectory], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="early"), kind(tmp_path / "out"):
        raise ValueError("early")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", KINDS)
def test_another_spec_is_refused_with_what_differs_and_the_way_past_it(
    kind: type[OutputDirectory], tmp_path: Path
) -> None:
    directory = kind(tmp_path / "out")
    write_spec(directory.path, spec(tmp_path).dump())
    directory.check_spec(spec(tmp_path))
    with pytest.raises(mftkit.MftError) as caught:
        directory.check_spec(spec(tmp_path, seed=99, max_length=17))
    assert str(caught.value) == (
        f"{kind.key}: {directory.path} holds the {kind.content} of another spec (differs in max_length, seed); pass "
        f"--fresh to start over, or choose another {kind.key}."
    )


@pytest.mark.parametrize("kind", KINDS)
def test_keys_that_decide_no_number_may_change(kind: type[OutputDirectory], tmp_path: Path) -> None:
    directory = kind(tmp_path / "out")
    write_spec(directory.path, spec(tmp_path).dump())
    free = {
        "micro_batch_size": 2,
        "log_every": 9,
        "checkpoint_every": "20 min",
        "gradient_checkpointing": True,
    }
    directory.check_spec(spec(tmp_path, name="other", training=free))
    with pytest.raises(
        mftkit.MftError, match=r"differs in seed; training\.micro_batch_size may differ\); pass"
    ):
        directory.check_spec(spec(tmp_path, seed=99, training={"micro_batch_size": 2}))


def test_the_end_of_a_run_may_move_and_that_of_the_runs_of_a_comparison_may_not(tmp_path: Path) -> None:
    write_spec(tmp_path / "out", spec(tmp_path).dump())
    longer = spec(tmp_path, training={"epochs": 3})
    RunDirectory(tmp_path / "out").check_spec(longer)
    with pytest.raises(mftkit.MftError, match=r"differs in training\.epochs\)"):
        ComparisonDirectory(tmp_path / "out").check_spec(longer)


@pytest.mark.parametrize("kind", KINDS)
def test_the_spec_of_an_earlier_version_is_completed_with_defaults(
    kind: type[OutputDirectory], tmp_path: Path
) -> None:
    written = spec(tmp_path).dump()
    del written["gradients"], written["training"]["grouping"]
    write_spec(tmp_path / "out", written)
    kind(tmp_path / "out").check_spec(spec(tmp_path))


@pytest.mark.parametrize("content", ["{", "[]"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_spec_is_refused(kind: type[OutputDirectory], content: str, tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text(content)
    with pytest.raises(mftkit.MftError, match=r"spec\.json is damaged \(.*\); pass --fresh"):
        kind(tmp_path).check_spec(spec(tmp_path))


@pytest.mark.parametrize("kind", KINDS)
def test_a_place_that_cannot_be_written_is_refused(kind: type[OutputDirectory], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(mftkit.MftError, match=f"file is a file; choose another {kind.key}"):
        kind(tmp_path / "file").check_writable()
    with pytest.raises(mftkit.MftError, match="cannot create .*file/out: .*file is not writable"):
        kind(tmp_path / "file" / "out").check_writable()
    kind(tmp_path / "a" / "b").check_writable()


@pytest.mark.parametrize("kind", KINDS)
def test_starting_over_removes_what_was_written_and_nothing_else(
    kind: type[OutputDirectory], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in kind.files:
        (out / name).mkdir() if "." not in name else (out / name).touch()
    (out / "notes.txt").write_text("mine")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    linked = next(name for name in kind.files if "." not in name)
    (out / linked).rmdir()
    (out / linked).symlink_to(elsewhere)
    kind(out).start_over()
    assert [entry.name for entry in out.iterdir()] == ["notes.txt"]
    assert elsewhere.exists()


def test_files_of_a_run_without_its_spec_are_refused(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(mftkit.MftError, match=r"holds files of a run but no spec\.json; pass --fresh"):
        RunDirectory(tmp_path).is_finished(spec(tmp_path))


def test_a_comparison_is_not_put_into_a_run(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").touch()
    with pytest.raises(mftkit.MftError, match="holds a run; choose another --output"):
        ComparisonDirectory(tmp_path).check(spec(tmp_path), fresh=True)
