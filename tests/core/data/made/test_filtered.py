"""A task's rows through its filters: counted, reported, kept, filtered again when something changes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import mftkit
from data_path import chat_row, sections, tokenizer, write_lines
from mftkit.data.corpus import prepare
from mftkit.data.task_rows import task_rows
from mftkit.data.tokens.train_tokenizer import iter_texts
from mftkit.plugins import hookspecs, installed
from mftkit.plugins.kinds import KINDS
from mftkit_registry import Registry
from recorder import Recorder

if TYPE_CHECKING:
    from fixture_types import Install

STAND_INS = """
import mftkit

PASSES = []

class Word(mftkit.DataFilter):
    class Options(mftkit.Options):
        word: str = "bad"
        hide: bool = False
    def __init__(self, options, tasks=()):
        super().__init__(options, tasks)
        self.version = "2"
    def apply(self, rows, context):
        PASSES.append(self.options.word)
        (context.directory / "notes").write_text("kept")
        context.note(f"looks for {self.options.word}")
        context.note(f"looks for {self.options.word}")
        for row in rows:
            context.report(looked_at=1)
            if self.options.word not in str(row):
                yield row
            elif not self.options.hide:
                context.drop(row, "has the word", detail=self.options.word)

class Marks(mftkit.DataFilter):
    def apply(self, rows, context):
        for row in rows:
            yield {**row, "marked": context.seed}

class Unwritable(mftkit.DataFilter):
    def apply(self, rows, context):
        for row in rows:
            yield {**row, "set": {1}}

class Maker(mftkit.DataGenerator):
    made = 0
    def rows(self, context):
        type(self).made += 1
        for i in range(10):
            yield {"prompt": f"question {i}", "answer": "bad" if i % 5 == 0 else "good", "group": str(i)}

@mftkit.hookimpl
def register_data_filters(register):
    register("word", Word, summary="s")
    register("marks", Marks, summary="s")
    register("unwritable", Unwritable, summary="s")

@mftkit.hookimpl
def register_task_formats(register):
    register("chat", "mftkit_plugins.task_formats.chat:Chat", summary="s", default=True)

@mftkit.hookimpl
def register_data_generators(register):
    register("maker", Maker, summary="s")
"""


@pytest.fixture(autouse=True)
def module(install: Install, monkeypatch: pytest.MonkeyPatch) -> Any:
    install("filters", {"filters": "stand_in_filters"}, {"stand_in_filters": STAND_INS}, group="mft-x")
    loaded = Registry.load(KINDS, [hookspecs], group="mft-x")
    monkeypatch.setattr(installed, "registry", lambda: loaded)
    return sys.modules["stand_in_filters"]


def rows_of(number: int = 10) -> list[dict[str, Any]]:
    return [chat_row(f"question {i}", "bad" if i % 5 == 0 else "good", id=i) for i in range(number)]


def spec(tmp_path: Path, *filters: Any, **more: Any) -> Any:
    path = tmp_path / "rows.jsonl"
    if not path.exists():
        write_lines(path, rows_of())
    source = {} if "generator" in more else {"train": [str(path)]}
    data = more.pop("data", {})
    seed = more.pop("seed", 7)
    task = {"name": "a", **source, "filters": list(filters), "valid": 0.25, **more}
    return sections(tmp_path / "cache", task, data=data, seed=seed)


def made(given: Any, listener: Recorder | None = None) -> Path:
    [source] = task_rows(given, 0, given.tasks[0], listener or Recorder())
    return Path(source.name)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_each_stage_tells_what_it_dropped_and_why(tmp_path: Path) -> None:
    listener = Recorder()
    second = {"name": "word", "options": {"word": "question 7"}}
    path = made(spec(tmp_path, "word", second, "marks"), listener)
    assert [row["id"] for row in read(path)] == [1, 2, 3, 4, 6, 8, 9]
    assert all(row["marked"] == 7 for row in read(path))
    notes = "\n".join(listener.notes)
    assert "task a: filter word: 10 rows in, 8 kept, 2 dropped (looked at 10)" in notes
    assert "task a:   2 dropped: has the word (bad), for example: " in notes
    assert "filter word: 8 rows in, 7 kept, 1 dropped" in notes
    assert listener.notes.count("filter word: looks for bad") == 1
    manifest = json.loads((path.parent / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["read"], manifest["rows"], manifest["seed"]) == (10, 7, 7)
    first, _, last = manifest["filters"]
    assert {key: first[key] for key in ("name", "version", "distribution", "rows_in", "rows_kept", "dropped")} == {
        "name": "word", "version": "2", "distribution": "filters", "rows_in": 10, "rows_kept": 8, "dropped": {"has the word": 2},
    }  # fmt: skip
    assert first["samples"]["has the word"][1] == {"row": rows_of()[5], "detail": "bad"}
    assert first["notes"] == ["looks for bad"]
    assert (last["rows_in"], last["rows_kept"], last["dropped"]) == (7, 7, {})


def test_rows_that_vanish_are_counted(tmp_path: Path) -> None:
    listener = Recorder()
    made(spec(tmp_path, {"name": "word", "options": {"hide": True}}), listener)
    assert "task a:   2 dropped: no reason given" in listener.notes


def test_rows_are_filtered_once_and_anew_after_any_change(tmp_path: Path, module: Any) -> None:
    first = made(spec(tmp_path, "word"))
    assert made(spec(tmp_path, "word")) == first
    assert module.PASSES == ["bad"]
    others = [
        spec(tmp_path, {"name": "word", "options": {"word": "x"}}),
        spec(tmp_path, "word", "marks"),
        spec(tmp_path, "word", seed=8),
        spec(tmp_path, "word", name="b"),
    ]
    assert len({made(other) for other in others} | {first}) == 5
    write_lines(tmp_path / "rows.jsonl", rows_of(11))
    changed = made(spec(tmp_path, "word"))
    assert changed != first
    whole = changed.read_bytes()
    changed.write_bytes(whole[:-5])
    assert made(spec(tmp_path, "word")).read_bytes() == whole


def test_a_changed_filter_makes_no_row_of_a_generator_anew(tmp_path: Path, module: Any) -> None:
    unfiltered = made(spec(tmp_path, generator="maker"))
    assert len(read(unfiltered)) == 10
    assert len(read(made(spec(tmp_path, "word", generator="maker")))) == 8
    assert len(read(made(spec(tmp_path, "word", "marks", generator="maker")))) == 8
    assert module.Maker.made == 1


def test_what_is_trained_on_is_what_stays(tmp_path: Path) -> None:
    given = spec(tmp_path, "word")
    corpus = prepare(given, tokenizer(), Recorder())
    assert len(corpus.train) + len(corpus.valid) == 8
    assert not any(text == "bad" for text in iter_texts(given, Recorder()))
    grouped = prepare(spec(tmp_path, "word", generator="maker"), tokenizer(), Recorder())
    assert len(grouped.train) + len(grouped.valid) == 8


def test_bad_rows_are_reported_where_the_user_wrote_them(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "rows.jsonl", [*rows_of(2), {"prompt": "no answer"}, *rows_of(1)])
    with pytest.raises(mftkit.MftError, match=r"rows\.jsonl:3: .* is missing"):
        made(spec(tmp_path, "word"))
    listener = Recorder()
    made(spec(tmp_path, "word", data={"on_bad_row": "skip"}), listener)
    [warning] = listener.warnings
    assert warning.startswith(f"task a: 1 bad rows skipped, 3 kept; the first: {path}:3: ")


def test_a_filter_that_gives_no_row_is_reported(tmp_path: Path) -> None:
    with pytest.raises(mftkit.MftError, match="filter unwritable: row 1 cannot be written as JSON"):
        made(spec(tmp_path, "unwritable"))


def test_when_no_row_stays_there_is_nothing_to_train_on(tmp_path: Path) -> None:
    given = spec(tmp_path, {"name": "word", "options": {"word": "question"}})
    with pytest.raises(mftkit.MftError, match="no samples left to train on"):
        prepare(given, tokenizer(), Recorder())
