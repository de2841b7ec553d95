"""Directories of ``save_to_disk``: by path, by split, inside other directories; and what is not one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import datasets  # type: ignore[import-untyped]
import pytest

from mftkit.data.rows.sources import expand
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.data.rows.source import Source


def rows(letter: str, number: int = 3) -> list[dict[str, Any]]:
    return [{"prompt": f"{letter}{i}", "answer": "b", "url": None if i else "u"} for i in range(number)]


def read(letter: str, *numbers: int) -> list[tuple[int, dict[str, Any]]]:
    """Rows as they are read."""
    values = [{key: value for key, value in row.items() if value is not None} for row in rows(letter)]
    return [(line, values[number]) for line, number in enumerate(numbers, 1)]


@pytest.fixture
def single(tmp_path: Path) -> Path:
    datasets.Dataset.from_list(rows("s")).save_to_disk(tmp_path / "single")
    return tmp_path / "single"


@pytest.fixture
def divided(tmp_path: Path) -> Path:
    splits = {name: datasets.Dataset.from_list(rows(name)) for name in ("test", "train")}
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "divided")
    return tmp_path / "divided"


def sources(*entries: Any, warnings: list[str] | None = None) -> tuple[Source, ...]:
    found = [str(entry) if not isinstance(entry, dict) else entry for entry in entries]
    return expand(found, "tasks.0.train", (warnings if warnings is not None else []).append)


def test_a_data_set_is_read_by_its_path_and_as_an_object(single: Path) -> None:
    warnings: list[str] = []
    (one,) = sources(single, warnings=warnings)
    (other,) = sources({"dataset": str(single)})
    assert list(one.rows()) == list(other.rows()) == read("s", 0, 1, 2)
    assert one.name == other.name == str(single)
    assert one.digest() == other.digest()
    assert one.digest().lines == 3
    assert warnings == []


def test_a_single_data_set_goes_by_the_split_it_was(tmp_path: Path) -> None:
    splits = datasets.DatasetDict({"test": datasets.Dataset.from_list(rows("t"), split="test")})
    splits["test"].save_to_disk(tmp_path / "single")
    splits.save_to_disk(tmp_path / "divided")
    for split, expected in (
        ("test", read("t", 0, 1, 2)),
        ("test[2:]", read("t", 2)),
        ("train", read("t", 0, 1, 2)),
    ):
        (source,) = sources({"dataset": str(tmp_path / "single"), "split": split})
        assert list(source.rows()) == expected
    warnings: list[str] = []
    (only,) = sources(tmp_path / "divided", warnings=warnings)
    assert (list(only.rows()), only.name, warnings) == (
        read("t", 0, 1, 2),
        f"{tmp_path / 'divided'}[test]",
        [],
    )


def test_of_several_splits_train_is_read_and_reported(divided: Path) -> None:
    warnings: list[str] = []
    (source,) = sources(divided, warnings=warnings)
    assert list(source.rows()) == read("train", 0, 1, 2)
    assert source.name == f"{divided}[train]"
    assert warnings == [f"tasks.0.train.0: {divided} has the splits test, train; train is read"]


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("test", read("test", 0, 1, 2)),
        ("test[1:]", read("test", 1, 2)),
        ("train[:34%]", read("train", 0)),
        ("train[-1:]+test[:1]", [*read("train", 2), (2, read("test", 0)[0][1])]),
    ],
)
def test_a_split_or_a_part_of_one_is_chosen(divided: Path, split: str, expected: list[Any]) -> None:
    (source,) = sources({"dataset": str(divided), "split": split})
    assert list(source.rows()) == expected
    assert source.name == f"{divided}[{split}]"
    assert source.digest().lines == len(expected)


def test_the_digest_follows_content_and_part(divided: Path) -> None:
    def digest(split: str) -> str:
        return sources({"dataset": str(divided), "split": split})[0].digest().sha256

    before = [digest(split) for split in ("train", "test", "train[:1]")]
    assert len(set(before)) == 3
    (arrow,) = (divided / "train").glob("*.arrow")
    content = arrow.read_bytes()
    arrow.write_bytes(content.replace(b"train1", b"trainX"))
    assert digest("train") != before[0]
    assert digest("test") == before[1]
    arrow.write_bytes(content)
    assert digest("train") == before[0]


def test_the_format_that_a_data_set_was_saved_with_hides_no_column(tmp_path: Path) -> None:
    data = datasets.Dataset.from_list([{"prompt": "a", "answer": "b", "number": 1}])
    data.with_format("numpy", columns=["number"]).save_to_disk(tmp_path / "set")
    assert [value for _, value in sources(tmp_path / "set")[0].rows()] == [
        {"prompt": "a", "answer": "b", "number": 1}
    ]


def test_inside_a_directory_it_is_one_source(single: Path, divided: Path, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").touch()
    (tmp_path / "z.csv").touch()
    expected = [str(tmp_path / "a.jsonl"), f"{divided}[train]", str(single), str(tmp_path / "z.csv")]
    for entry in (tmp_path, tmp_path / "*", tmp_path / "**"):
        warnings: list[str] = []
        assert sorted(source.name for source in sources(entry, warnings=warnings)) == sorted(expected)
        assert len(warnings) == 1, warnings


def test_a_pattern_that_matches_only_its_files_leaves_them_out(single: Path, tmp_path: Path) -> None:
    (tmp_path / "a.json").touch()
    warnings: list[str] = []
    found = sources(tmp_path / "**/*.json", warnings=warnings)
    assert [source.name for source in found] == [str(tmp_path / "a.json")]
    assert len(warnings) == 1
    assert f"files inside the saved data set {single}, which are left out" in warnings[0]
    with pytest.raises(MftError, match="no data files match"):
        sources(single / "*.json")


def test_splits_are_read_if_a_pattern_names_them(divided: Path) -> None:
    found = sources(divided / "t*")
    assert [source.name for source in found] == [str(divided / "test"), str(divided / "train")]


def named(directory: Path, split: str) -> dict[str, str]:
    return {"dataset": str(directory), "split": split}


def test_what_cannot_be_read_is_one_message(single: Path, divided: Path, tmp_path: Path) -> None:
    splits = {name: datasets.Dataset.from_list(rows(name)) for name in ("one", "two")}
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "open")
    wrong = [
        (named(divided, "valid"), ["has no split valid", "splits: test, train"]),
        (named(single, "test"), ["has no split test", "splits: train"]),
        (named(divided, "train[:x]"), ["has no split train[:x]"]),
        ({**named(divided, "train"), "revision": "v1"}, ["tasks.0.train.0.revision: is not used", "leave it out"]),
        ({**named(single, "train"), "data_files": "a"}, ["tasks.0.train.0.data_files: is not used"]),
        (single / "state.json", ["is a part of the saved data set", "name that directory"]),
        (divided / "train" / "dataset_info.json", [f"is a part of the saved data set {divided};"]),
        (tmp_path / "open", ["has the splits one, two; name one", json.dumps(named(tmp_path / "open", "one"))]),
    ]  # fmt: skip
    for entry, parts in wrong:
        with pytest.raises(MftError) as caught:
            [list(source.rows()) for source in sources(entry)]
        message = str(caught.value)
        assert message.startswith("tasks.0.train.0")
        assert "\n" not in message
        assert [part for part in parts if part not in message] == []


@pytest.mark.parametrize("name", ["state.json", "dataset_info.json", "data"])
def test_a_damaged_directory_is_one_message(single: Path, name: str) -> None:
    if name == "data":
        next(single.glob("*.arrow")).write_bytes(b"ARROW1 not really")
    else:
        (single / name).write_text("{")
    with pytest.raises(MftError, match=r"tasks\.0\.train\.0: .*single") as caught:
        [(source.digest(), list(source.rows())) for source in sources(single)]
    assert "\n" not in str(caught.value)


def test_a_damaged_offset_is_one_message(tmp_path: Path) -> None:
    """pyarrow follows it into foreign memory, which ends the process."""
    directory = tmp_path / "single"
    datasets.Dataset.from_list([{"text": "x" * 50} for _ in range(300)]).save_to_disk(directory)
    file = next(directory.glob("*.arrow"))
    offset = (7 * 50).to_bytes(4, "little") + (8 * 50).to_bytes(4, "little")
    content = file.read_bytes()
    assert content.count(offset) == 1
    file.write_bytes(content.replace(offset, b"\0\0\0\x7f" + offset[4:]))
    with pytest.raises(MftError, match=r"single: cannot be read after row 0: ArrowInvalid: .*offset"):
        [list(source.rows()) for source in sources(directory)]
