"""Rows of a generator: made once for its options, then read like any file."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import mftkit
from data_path import chat_row, sections, tokenizer, write_lines
from mftkit.data.corpus import prepare, prepare_validation
from mftkit.data.made import generated
from mftkit.data.task_rows import generate_tasks
from mftkit.spec import ComponentRef, GeneratedValidation
from mftkit_registry import Kind
from mftkit_registry.errors import MftError
from recorder import Recorder


class Counter(mftkit.DataGenerator):
    """Makes numbered rows; counts how often it is asked."""

    class Options(mftkit.Options):
        count: int = 40
        kind: str = "good"
        first: int = 0

    options: Options
    asked = 0
    tasks_seen: tuple[mftkit.TaskInfo, ...] = ()

    def rows(self, context: mftkit.GenerationContext) -> Iterator[dict[str, Any]]:
        type(self).asked += 1
        (context.directory / "notes").write_text("kept", encoding="utf-8")
        type(self).tasks_seen = self.tasks
        context.report(dropped=2)
        for i in range(self.options.first, self.options.first + self.options.count):
            if self.options.kind == "unwritable":
                yield {"prompt": object()}
            elif self.options.kind == "failing" and i == 25:
                raise RuntimeError("half way")
            elif self.options.kind == "bad":
                yield {"prompt": "no answer"}
            else:
                said = i % 10 if self.options.kind == "repeating" else i
                seed = "" if self.options.kind == "seedless" else context.seed
                yield chat_row(f"{context.task} {said} {seed}", "answer", group=f"group {i // 2}")


class Plugins:
    """Stands for ``mftkit.plugins.installed`` with this one generator installed."""

    version = "1.0"

    def build(
        self, kind: Kind[Any], name: str, options: dict[str, Any], tasks: tuple[mftkit.TaskInfo, ...]
    ) -> Counter:
        assert (kind.name, name) == ("data-generator", "counter")
        return Counter(Counter.Options(**options), tasks)

    def registry(self) -> Any:
        return SimpleNamespace(get=lambda _kind, _name: SimpleNamespace(source=("some", self.version)))


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> Plugins:
    made = Plugins()
    monkeypatch.setattr(generated, "installed", made)
    monkeypatch.setattr(Counter, "asked", 0)
    return made


def spec(
    cache: Path, *names: str, seed: int = 7, valid: float | dict[str, Any] = 0.25, **options: Any
) -> Any:
    """A spec with this generator; ``valid`` as a dict has the options of one for the validation rows."""
    made = sections(cache, *({"name": name, "train": ["-"]} for name in names or ("a",)), seed=seed)
    changes: dict[str, Any] = {
        "train": None,
        "generator": ComponentRef(name="counter", options=options),
        "valid": valid
        if isinstance(valid, float)
        else GeneratedValidation.model_construct(generator=ComponentRef(name="counter", options=valid)),
    }
    made.tasks = [task.model_copy(update=changes) for task in made.tasks]
    return made


def test_rows_are_made_once_for_their_options(tmp_path: Path, plugins: Plugins) -> None:
    listener = Recorder()
    first = generate_tasks(spec(tmp_path), None, listener)["a"]
    assert len(first.read_text(encoding="utf-8").splitlines()) == 40
    assert "task a: counter made 40 rows (dropped 2)" in listener.notes
    assert generate_tasks(spec(tmp_path), "a", Recorder())["a"] == first
    assert Counter.asked == 1
    others = [spec(tmp_path, count=41), spec(tmp_path, seed=8), spec(tmp_path, "b")]
    assert len({generate_tasks(other, None, Recorder()).popitem()[1] for other in others} | {first}) == 4
    plugins.version = "1.1"
    assert generate_tasks(spec(tmp_path), None, Recorder())["a"] != first


@pytest.mark.parametrize("damaged", [lambda rows: rows[:-10], lambda rows: rows.replace(b"1", b"7", 1)])
def test_a_damaged_file_is_reported_and_made_again(tmp_path: Path, plugins: Plugins, damaged: Any) -> None:
    path, listener = generate_tasks(spec(tmp_path), None, Recorder())["a"], Recorder()
    whole = path.read_bytes()
    path.write_bytes(damaged(whole))
    assert path.read_bytes() != whole
    assert generate_tasks(spec(tmp_path), None, listener)["a"].read_bytes() == whole
    assert [each for each in listener.warnings if "is damaged and will be made again" in each]
    assert (path.parents[1] / "work" / "notes").exists()
    assert Counter.asked == 2


def test_a_secret_among_the_options_is_no_damage(
    tmp_path: Path, plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_TOKEN", "counter-a1b2c3")
    listener, given = Recorder(), spec(tmp_path, "counter-a1b2c3")
    made = generate_tasks(given, None, listener)
    [manifest] = tmp_path.glob("generated/*/*/*/manifest.json")
    assert "counter-a1b2c3" not in manifest.read_text()
    assert generate_tasks(given, None, listener) == made
    assert (Counter.asked, listener.warnings) == (1, [])


def test_no_rows_are_an_error(tmp_path: Path, plugins: Plugins) -> None:
    with pytest.raises(MftError, match="^task a: counter made no rows: check its options"):
        generate_tasks(spec(tmp_path, count=0), None, Recorder())
    assert not list(tmp_path.glob("generated/*/*/*/manifest.json"))


def test_rows_are_written_as_they_are_made_and_seen_when_they_are_whole(
    tmp_path: Path, plugins: Plugins
) -> None:
    with pytest.raises(RuntimeError, match="half way"):
        generate_tasks(spec(tmp_path, kind="failing"), None, Recorder())
    [partial] = tmp_path.glob("generated/*/*/*/.rows.jsonl.partial")
    assert partial.read_bytes().count(b"\n") == 25
    assert not list(tmp_path.glob("generated/*/*/*/rows.jsonl"))
    assert not list(tmp_path.glob("generated/*/*/*/manifest.json"))


def test_the_manifest_says_what_rows_were_made_of(tmp_path: Path, plugins: Plugins) -> None:
    path = generate_tasks(spec(tmp_path, count=3), None, Recorder())["a"]
    found = json.loads((path.parent / "manifest.json").read_text())
    assert found["options"] == {"count": 3, "kind": "good", "first": 0}
    assert (found["seed"], found["task"], found["generator"], found["rows"]) == (7, "a", "counter", 3)
    assert found["counts"] == {"dropped": 2}
    assert found["versions"]["some"] == "1.0"
    assert found["versions"]["generator"] == "1"
    assert (found["stopped"], found["prompts"]) == (None, {})
    assert found["usage"] == {"prompt_tokens": 0, "completion_tokens": 0, "cost": 0.0}


def test_a_group_is_on_the_same_side_in_every_task(tmp_path: Path, plugins: Plugins) -> None:
    made = prepare(spec(tmp_path, "a", "b"), tokenizer(), Recorder())

    def groups(split: Any) -> list[set[str]]:
        found: list[set[str]] = [set(), set()]
        for i in range(len(split)):
            path, line = split.origin(i).rsplit(":", 1)
            row = json.loads(Path(path).read_text(encoding="utf-8").splitlines()[int(line) - 1])
            found[split.task[i]].add(row["group"])
        return found

    valid, train = groups(made.valid), groups(made.train)
    assert valid[0] == valid[1] != set()
    assert train[0] == train[1]
    assert not train[0] & valid[0]
    assert len(made.valid) + len(made.train) == 80


def test_a_generator_knows_the_tasks_of_the_run(tmp_path: Path, plugins: Plugins) -> None:
    generate_tasks(spec(tmp_path, "a", "b"), "b", Recorder())
    assert Counter.tasks_seen == (mftkit.TaskInfo("a"), mftkit.TaskInfo("b"))


def test_rows_repeat_by_what_they_say_and_not_by_their_group(tmp_path: Path, plugins: Plugins) -> None:
    listener = Recorder()
    prepare(spec(tmp_path), tokenizer(), listener)
    assert not [warning for warning in listener.warnings if "repeat" in warning]
    prepare(spec(tmp_path, kind="repeating"), tokenizer(), listener)
    assert "task a: 30 rows repeat an earlier one (all are kept)" in listener.warnings


def test_rows_that_are_no_rows_are_reported(tmp_path: Path, plugins: Plugins) -> None:
    with pytest.raises(MftError, match="generator counter: row 1 cannot be written as JSON"):
        generate_tasks(spec(tmp_path, kind="unwritable"), None, Recorder())
    with pytest.raises(MftError, match=r"rows\.jsonl:1: .* is missing"):
        prepare(spec(tmp_path, kind="bad"), tokenizer(), Recorder())


def test_nothing_to_make_is_an_error(tmp_path: Path, plugins: Plugins) -> None:
    with pytest.raises(MftError, match=r"has no task x with a generator .*tasks with one: a"):
        generate_tasks(spec(tmp_path), "x", Recorder())
    with pytest.raises(MftError, match="no task in this spec has a generator"):
        generate_tasks(sections(tmp_path, {"name": "a", "train": ["a.jsonl"]}), None, Recorder())


def test_validation_rows_of_the_same_generator_are_others(tmp_path: Path, plugins: Plugins) -> None:
    """They have a seed of their own, are made once, and their groups are none of the training rows'."""
    listener = Recorder()
    both = spec(tmp_path, valid={"first": 30})
    made = generate_tasks(both, None, listener)
    assert list(made) == ["a", "a (valid)"]
    train, valid = (set(path.read_text(encoding="utf-8").splitlines()) for path in made.values())
    assert not train & valid
    assert "task a (valid): counter made 40 rows (dropped 2)" in listener.notes
    manifest = json.loads((made["a (valid)"].parent / "manifest.json").read_text())
    assert (manifest["task"], manifest["role"]) == ("a", "validation")
    found = prepare(both, tokenizer(), listener)
    assert Counter.asked == 2
    assert (len(found.train), len(found.valid)) == (40, 30)
    counted = "10 of 40 generated validation rows are training rows, or of the same group"
    assert f"task a: {counted}; they are left out" in listener.warnings
    alone = prepare_validation(both, tokenizer(), Recorder())
    assert [alone.origin(i) for i in range(30)] == [found.valid.origin(i) for i in range(30)]


def test_validation_rows_that_are_training_rows_are_left_out(tmp_path: Path, plugins: Plugins) -> None:
    """Without groups on both sides, the content of a row counts."""
    rows = [chat_row(f"a {i} ", "answer") for i in range(30)]
    made = spec(tmp_path, valid={"kind": "seedless"})
    files = {"train": [str(write_lines(tmp_path / "a.jsonl", rows))], "generator": None}
    made.tasks = [made.tasks[0].model_copy(update=files)]
    listener = Recorder()
    assert len(prepare(made, tokenizer(), listener).valid) == 10
    assert any(warning.startswith("task a: 30 of 40 generated") for warning in listener.warnings)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, r"task a: 40 of 40 generated validation rows are.* none is left\. Change the options of valid"),
        ({"count": 0}, r"task a \(valid\): counter made no rows"),
    ],
)
def test_no_validation_row_left(
    tmp_path: Path, plugins: Plugins, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(MftError, match=problem):
        prepare(spec(tmp_path, valid=options), tokenizer(), Recorder())
