"""The spec.json of a run directory that was moved, and a directory given as a spec."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import mftkit
from small_runs import small_spec


def run_directory(path: Path, output: Path) -> Path:
    path.mkdir()
    own = str(output / "data" / "rows.jsonl")
    tasks = [{"name": "a", "train": [own, f"{output}-else/rows.jsonl"]}]
    (path / "spec.json").write_text(json.dumps(small_spec(output=str(output), tasks=tasks)))
    return path


def test_a_run_lies_where_its_spec_lies_and_paths_within_it_follow(tmp_path: Path) -> None:
    moved = run_directory(tmp_path / "moved", tmp_path / "old")
    assert mftkit.load_spec(moved / "spec.json").output == tmp_path / "old"  # not yet known as a run
    (moved / "environment.json").touch()
    spec = mftkit.load_spec(moved)
    assert spec.output == moved
    assert spec.tasks[0].train == [str(moved / "data" / "rows.jsonl"), f"{tmp_path}/old-else/rows.jsonl"]
    (tmp_path / "link").symlink_to(moved)
    assert mftkit.load_spec(tmp_path / "link").output == tmp_path / "link"
    assert mftkit.load_spec(moved, [f"output={tmp_path / 'new'}"]).output == tmp_path / "new"
    (moved / "spec.json").rename(moved / "other.json")
    assert mftkit.load_spec(moved / "other.json").output == tmp_path / "old"
    with pytest.raises(mftkit.MftError, match=r"moved is a directory without a spec\.json; give a spec, or"):
        mftkit.load_spec(moved)
