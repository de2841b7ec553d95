"""Data sets that ``datasets`` loads: configurations, files, splits and parts of them; all local."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from mftkit.data.rows.hub import HubSource
from mftkit.data.rows.sources import expand, train_sources, valid_sources
from mftkit.spec import TaskSpec
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.data.rows.source import Source


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))


def write(path: Path, *texts: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"text": text, "url": "u"}) + "\n" for text in texts))
    return path


def texts(source: Source) -> list[str]:
    return [value["text"] for _, value in source.rows()]


def one(entry: dict[str, Any]) -> Source:
    (source,) = expand([entry], "tasks.0.train", lambda _warning: None)
    return source


def test_data_files_of_a_kind_of_file(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a.jsonl", "a1", "a2"), write(tmp_path / "b.jsonl", "b1")
    forms: list[tuple[Any, str, list[str]]] = [
        (str(a), "train", ["a1", "a2"]),
        ([str(a), str(b)], "train", ["a1", "a2", "b1"]),
        (str(tmp_path / "*.jsonl"), "train", ["a1", "a2", "b1"]),
        ({"train": str(a), "test": [str(b)]}, "test", ["b1"]),
        ({"train": str(a), "test": [str(b)]}, "train[1:]", ["a2"]),
        ({"train": str(a)}, "train[:50%]", ["a1"]),
    ]
    found = [one({"dataset": "json", "data_files": files, "split": split}) for files, split, _ in forms]
    assert [texts(source) for source in found] == [expected for _, _, expected in forms]
    assert len({source.name for source in found}) == len(forms)
    assert (
        len({source.digest().sha256 for source in found}) == len(forms) - 1
    )  # the pattern matches the list's files
    assert [source.digest().lines for source in found] == [len(expected) for _, _, expected in forms]
    assert next(iter(found[0].rows())) == (1, {"text": "a1", "url": "u"})


def test_the_identity_follows_the_content(tmp_path: Path) -> None:
    def digest(text: str) -> str:
        entry = {"dataset": "json", "data_files": str(write(tmp_path / "a.jsonl", text))}
        assert texts(one(entry)) == [text]
        return one(entry).digest().sha256

    assert digest("a") != digest("b")


def test_the_identity_is_that_of_the_first_version_of_mftkit(tmp_path: Path) -> None:
    """It was the fingerprint after the columns that are not read were left out; runs of then resume."""
    import datasets  # type: ignore[import-untyped]

    path = tmp_path / "a.jsonl"
    path.write_text('{"url": "u", "text": "t", "tools": [], "weight": 1, "answer": "a", "prompt": "b"}\n')
    files = {"data_files": str(path), "split": "train"}
    expected = datasets.load_dataset("json", **files).select_columns(["text", "weight", "answer", "prompt"])
    assert one({"dataset": "json", **files}).digest() == (expected._fingerprint, 1)


def test_csv_and_parquet_as_kinds(tmp_path: Path) -> None:
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    (tmp_path / "a.csv").write_text("text,weight\nc,0.5\n,1\n")
    pq.write_table(pa.table({"text": ["p"], "image": [b"abc"]}), tmp_path / "a.parquet")
    rows = [
        [value for _, value in one({"dataset": kind, "data_files": str(tmp_path / f"a.{kind}")}).rows()]
        for kind in ("csv", "parquet")
    ]
    assert rows == [[{"text": "c", "weight": 0.5}, {"weight": 1.0}], [{"text": "p", "image": {"bytes": 3}}]]


def test_an_image_is_not_decoded(tmp_path: Path) -> None:
    import datasets

    features = datasets.Features({"text": datasets.Value("string"), "image": datasets.Image()})
    data = datasets.Dataset.from_list(
        [{"text": "t", "image": {"bytes": b"no image", "path": "p.png"}}], features
    )
    data.save_to_disk(tmp_path / "set")
    assert [value for _, value in one({"dataset": str(tmp_path / "set")}).rows()] == [
        {"text": "t", "image": {"bytes": {"bytes": 8}, "path": "p.png"}}
    ]


@pytest.fixture
def configured(tmp_path: Path) -> Path:
    """A directory with a README that has two configurations."""
    write(tmp_path / "set" / "de" / "train.jsonl", "de1", "de2")
    write(tmp_path / "set" / "en" / "train.jsonl", "en1")
    write(tmp_path / "set" / "en" / "test.jsonl", "en-test")
    (tmp_path / "set" / "README.md").write_text(
        "---\nconfigs:\n- config_name: de\n  data_files: de/train.jsonl\n- config_name: en\n  data_files:\n"
        "  - split: train\n    path: en/train.jsonl\n  - split: test\n    path: en/test.jsonl\n---\n"
    )
    return tmp_path / "set"


def test_a_configuration_is_part_of_name_and_identity(configured: Path) -> None:
    de, en, en_test = (
        one({"dataset": str(configured), **more})
        for more in ({"name": "de"}, {"name": "en"}, {"name": "en", "split": "test"})
    )
    assert [texts(source) for source in (de, en, en_test)] == [["de1", "de2"], ["en1"], ["en-test"]]
    assert [source.name for source in (de, en, en_test)] == [
        f"{configured}[train, name=de]",
        f"{configured}[train, name=en]",
        f"{configured}[test, name=en]",
    ]
    assert len({source.digest().sha256 for source in (de, en, en_test)}) == 3


def test_data_files_of_a_directory_are_relative_to_it(configured: Path) -> None:
    source = one({"dataset": str(configured), "data_files": ["en/*.jsonl", "de/train.jsonl"]})
    assert sorted(texts(source)) == ["de1", "de2", "en-test", "en1"]


def test_everything_reaches_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, Any]] = []

    def load(*given: Any, **named: Any) -> None:
        calls.append((given, named))
        raise ConnectionError("no\nnetwork")

    monkeypatch.setattr("datasets.load_dataset", load)
    source = HubSource("o/n", "train", "tasks.1.valid.2", "de", "v1", {"train": ["a", "b"]})
    with pytest.raises(MftError) as caught:
        source.digest()
    assert calls == [
        (("o/n", "de"), {"split": "train", "revision": "v1", "data_files": {"train": ["a", "b"]}})
    ]
    assert str(caught.value) == (
        "tasks.1.valid.2: cannot load the data set o/n[train, name=de, revision=v1, data_files=train:a+b]: "
        "ConnectionError: no"
    )


@pytest.mark.parametrize(
    "entry",
    [
        {"dataset": "json", "data_files": "/nowhere/a.jsonl"},
        {"dataset": "CONFIGURED", "name": "fr"},
        {"dataset": "CONFIGURED", "name": "en", "split": "valid"},
        {"dataset": "CONFIGURED"},
        {"dataset": "CONFIGURED", "name": "en", "split": "train[a:b"},
    ],
    ids=["no file", "no configuration", "no split", "configuration not named", "no part"],
)
def test_what_cannot_be_loaded_is_one_message(configured: Path, entry: dict[str, Any]) -> None:
    entry = {**entry, "dataset": entry["dataset"].replace("CONFIGURED", str(configured))}
    with pytest.raises(MftError) as caught:
        list(one(entry).rows())
    assert str(caught.value).startswith(f"tasks.0.train.0: cannot load the data set {entry['dataset']}[")
    assert "\n" not in str(caught.value)


def test_data_sets_stand_among_paths_in_train_and_valid(configured: Path, tmp_path: Path) -> None:
    path = str(write(tmp_path / "a.jsonl", "a"))
    data_set = {"dataset": str(configured), "name": "de"}
    task = TaskSpec.model_validate(
        {"name": "t", "format": "text", "train": [path, data_set], "valid": data_set}
    )
    train = train_sources(task, 0, lambda _warning: None)
    (valid,) = valid_sources(task, 0, lambda _warning: None)
    assert [source.name for source in train] == [path, f"{configured}[train, name=de]"]
    assert texts(valid) == ["de1", "de2"]
