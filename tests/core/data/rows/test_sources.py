import os
from pathlib import Path
from typing import Any

import pytest

from mftkit.data.rows.sources import expand
from mftkit_registry.errors import MftError


def names(root: Path, *entries: Any, warn: Any = None) -> list[str]:
    sources = expand(
        [str(root / entry) for entry in entries], "tasks.0.train", warn or (lambda _warning: None)
    )
    return [str(Path(source.name).relative_to(root)) for source in sources]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b.jsonl", "a.json", "deep/c.jsonl.gz", "deep/x.jsonl/d.parquet", "odd[1]/e.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in (
        "notes.txt",
        ".hidden.jsonl",
        "b.jsonl~",
        ".b.jsonl.swp",
        "._b.jsonl",
        ".git/f.jsonl",
        "#b.jsonl#",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_a_directory_gives_its_data_files_sorted(tree: Path) -> None:
    everything = ["a.json", "b.jsonl", "deep/c.jsonl.gz", "deep/x.jsonl/d.parquet", "odd[1]/e.jsonl"]
    assert names(tree, ".") == everything
    assert names(tree, "deep/x.jsonl") == ["deep/x.jsonl/d.parquet"]


def test_globs_are_sorted_and_go_deep(tree: Path) -> None:
    assert names(tree, "*.json*") == ["a.json", "b.jsonl"]
    assert names(tree, "**/*.gz") == ["deep/c.jsonl.gz"]
    assert names(tree, "**") == names(tree, ".")
    assert names(tree, "odd[1]/e.jsonl") == ["odd[1]/e.jsonl"]  # what exists is no pattern


def test_the_order_of_entries_is_kept_and_a_file_named_twice_is_reported(tree: Path) -> None:
    warnings: list[str] = []
    assert names(tree, "b.jsonl", "*.json*", warn=warnings.append) == ["b.jsonl", "a.json"]
    assert len(warnings) == 1
    assert "tasks.0.train.1" in warnings[0]
    assert "b.jsonl" in warnings[0]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("c.jsonl", "c.jsonl not found"),
        ("b.jsonll", "did you mean b.jsonl"),
        ("nowhere/c.jsonl", "nowhere does not exist either"),
        ("*.csv", "no data files match the pattern"),
        (
            "*.xml",
            "(supported file endings: .jsonl, .jsonl.gz, .json, .csv, .csv.gz, .tsv, .tsv.gz, .parquet)",
        ),
        ("*.txt", "no data files match the pattern"),
        (".git", ""),
        (
            "notes.txt",
            "unknown file ending (supported: .jsonl, .jsonl.gz, .json, .csv, .csv.gz, .tsv, .tsv.gz, .parquet)",
        ),
    ],
)
def test_what_gives_no_file_names_key_and_path(tree: Path, entry: str, said: str) -> None:
    if entry == ".git":  # asked for by name, a hidden directory is read
        assert names(tree, entry) == [".git/f.jsonl"]
        return
    with pytest.raises(MftError) as caught:
        names(tree, entry)
    assert said in str(caught.value)
    assert str(caught.value).startswith("tasks.0.train.0: ")
    assert entry in str(caught.value)


def test_a_link_back_to_a_parent_ends(tree: Path) -> None:
    (tree / "deep" / "again").symlink_to(tree)
    assert names(tree, "deep")[-1].endswith("d.parquet")


def test_a_data_set_that_cannot_be_loaded_is_one_message(tmp_path: Path) -> None:
    (source,) = expand(
        [{"dataset": str(tmp_path / "none"), "split": "train"}], "tasks.0.train", lambda _warning: None
    )
    with pytest.raises(MftError, match=r"tasks.0.train.0: cannot load the data set") as caught:
        list(source.rows())
    assert "\n" not in str(caught.value)


def test_a_data_set_is_read_through_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "test.jsonl").write_text(
        '{"prompt": "a", "answer": "b", "x": 1}\n' * 2, encoding="utf-8"
    )
    (source,) = expand(
        [{"dataset": str(tmp_path / "set"), "split": "test"}], "tasks.0.train", lambda _warning: None
    )
    row = {"prompt": "a", "answer": "b", "x": 1}
    assert list(source.rows()) == [(1, row), (2, row)]
    assert source.digest().lines == 2
    assert source.name.endswith("set[test]")


def test_a_directory_that_cannot_be_read_is_not_passed_over(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scan(path: Any) -> Any:
        if Path(path).name == "deep":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    real = os.scandir
    monkeypatch.setattr(os, "scandir", scan)
    with pytest.raises(MftError, match="deep: cannot be read: Permission denied"):
        names(tree, ".")
