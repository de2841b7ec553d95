"""Unusual data through the whole program: the 70 messy inputs, a data set of the hub, a generator's rows."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import mftkit
from data_path import chat_row, tokenizer, write_lines
from forked import mft_forked
from mftkit.cli import main
from mftkit.plugins import installed, kinds
from recorder import Recorder
from small_runs import small_spec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fixture_types import Install
    from mftkit.reporting.plan import Plan, PlannedTask

MESSY = Path(os.environ.get("MFT_SHARED") or Path(__file__).parents[2].parent / "shared") / "data" / "messy"
TABLE = MESSY / "expected.json"
CASES = json.loads(TABLE.read_text(encoding="utf-8"))["cases"] if TABLE.exists() else []
messy = pytest.mark.skipif(not CASES, reason="the messy inputs (../shared/data/messy) are not here")


@pytest.fixture(scope="module")
def tokenizer_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("tokenizer")
    tokenizer().save_pretrained(path)
    return str(path)


@pytest.fixture
def write_spec(tmp_path: Path, tokenizer_path: str) -> Any:
    """Writes a spec of one task."""

    def write(**task: Any) -> Path:
        spec = small_spec(tasks=[{"name": "messy", "valid": 0, **task}])
        spec["model"]["tokenizer"] = tokenizer_path
        path = tmp_path / "spec.json"
        path.write_text(json.dumps(spec), encoding="utf-8")
        return path

    return write


class Planned(Recorder):
    """Keeps the plan, too."""

    plan: Plan | None = None

    def planned(self, plan: Plan) -> None:
        self.plan = plan


def dry_run(spec: Path) -> tuple[PlannedTask, Planned]:
    listener = Planned()
    mftkit.run(mftkit.load_spec(spec), dry_run=True, reporter=listener)
    assert listener.plan is not None
    return listener.plan.tasks[0], listener


def given(case: dict[str, Any]) -> Path:
    """The file, or the directory where the case is one."""
    path = MESSY / str(case["path"])
    return path if path.parent == MESSY else path.parent


def rows_of(source: Path) -> int:
    """Rows that a reader finds in what it accepts: lines that are not blank."""
    files = [source] if source.is_file() else sorted(source.glob("[!.]*.jsonl"))
    texts = [gzip.decompress(f.read_bytes()) if f.suffix == ".gz" else f.read_bytes() for f in files]
    return sum(bool(line.strip()) for text in texts for line in text.split(b"\n"))


@messy
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["path"])
def test_a_messy_input_is_taken_whole_or_refused_by_line(case: dict[str, Any], write_spec: Any) -> None:
    spec, expected = write_spec(train=[str(given(case))]), case["expect"]
    try:
        task, output = dry_run(spec)
    except mftkit.MftError as error:
        assert "error" in expected, error
        path, line = MESSY / case["path"], case["line"]
        if path.name == "a_good.jsonl":  # the directory's fault is its other file's
            path, line = path.with_name("b_bad.jsonl"), 1
        assert str(error).startswith(f"{path}:{line}: ") if line else str(given(case)) in str(error)
        assert "\n" not in str(error)
        return
    assert "accept" in expected
    rows = rows_of(given(case))
    assert rows >= case["good_rows"]
    assert task.samples + task.dropped + task.skipped == rows  # nothing is lost in silence
    reported = ("validation set is empty", "repeat", "keys not used", "the text of control tokens")
    warned = [line for line in output.warnings if not any(text in line for text in reported)]
    assert not (task.dropped + task.skipped + task.truncated) or warned
    assert output.warnings if expected == "accept with a warning" else not (expected == "accept" and warned)


@messy
@pytest.mark.parametrize(
    ("path", "code", "said"),
    [
        ("wrong_role_on_line_2.jsonl", 2, "error: {0}:2: "),
        ("not_utf8_random_bytes.jsonl", 2, "error: {0}:1: "),
        ("dir_without_jsonl", 2, "error: tasks.0.train.0: "),
        ("empty_file.jsonl", 2, "{0}"),
        ("duplicate_ids.jsonl", 0, "warning: "),
        ("dir with spaces and ünïcode", 0, ""),
    ],
)
def test_the_command_lines_exit_code(
    path: str, code: int, said: str, write_spec: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = write_spec(train=[str(MESSY / path)])
    assert main(["run", str(spec), "--dry-run"]) == code
    output = capsys.readouterr()
    assert said.format(MESSY / path) in output.err
    assert "Traceback" not in output.err
    assert ("messy" in output.out) == (code == 0)


@messy
def test_a_process_of_its_own_says_the_same(write_spec: Any, tmp_path: Path) -> None:
    path = MESSY / "empty_answer_on_line_2.jsonl"
    spec = write_spec(train=[str(path)])
    done = mft_forked("run", spec, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith(f"error: {path}:2: ")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_data_set_of_the_hub(write_spec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "hub-cache"))
    write_lines(tmp_path / "set" / "train.jsonl", [chat_row(f"question {i}", "answer") for i in range(9)])
    write_lines(tmp_path / "set" / "test.jsonl", [chat_row("no", "no")])
    spec = write_spec(train={"dataset": str(tmp_path / "set"), "split": "train"}, valid=0.3)
    task, _ = dry_run(spec)
    assert (task.samples, task.valid_samples) == (6, 3)
    write_lines(tmp_path / "set" / "train.jsonl", [chat_row("a", "b"), chat_row("a", "")])
    with pytest.raises(mftkit.MftError, match=r"set\[train\]:2: .*empty") as caught:
        dry_run(spec)
    assert "\n" not in str(caught.value)


def test_null_columns_of_json_lines_are_absent(write_spec: Any, tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "No"}]
    write_lines(
        tmp_path / "a.jsonl",
        [
            {"messages": None, "prompt": "Hello", "response": "Yes", "weight": None, "id": None},
            {"messages": turns, "prompt": None, "response": None, "data_name": None},
            {"conversations": None, "instruction": "a", "input": None, "output": "b", "system": None},
        ],
    )
    task, listener = dry_run(write_spec(train=[str(tmp_path / "a.jsonl")]))
    assert (task.samples, task.skipped) == (3, 0)
    assert [warning for warning in listener.warnings if "validation set is empty" not in warning] == []


def test_sources_of_every_kind_in_one_task(write_spec: Any, tmp_path: Path) -> None:
    import datasets  # type: ignore[import-untyped]

    def rows(letter: str) -> list[dict[str, Any]]:
        return [{"problem": f"{letter} {i}", "solution": "answer", "tests": "t"} for i in range(2)]

    (tmp_path / "a.csv").write_text("problem,solution\na 0,answer\na 1,\n", encoding="utf-8")
    datasets.Dataset.from_list(rows("b")).save_to_disk(tmp_path / "b")
    datasets.Dataset.from_list(rows("c")).to_parquet(tmp_path / "c.parquet")
    write_lines(tmp_path / "d" / "train.jsonl", rows("d"))
    (tmp_path / "e.json").write_text(json.dumps(rows("e")), encoding="utf-8")
    spec = write_spec(
        train=["a.csv", "b", "c.parquet", {"dataset": "json", "data_files": "d/*.jsonl"}, "e.json"],
        columns={"problem": "prompt", "solution": "answer"},
        valid=["e.json", {"dataset": "b", "split": "train[:1]"}],
    )
    with pytest.raises(mftkit.MftError, match=r"a\.csv:3: .*prompt"):
        dry_run(spec)
    data = json.loads(spec.read_text("utf-8"))
    spec.write_text(json.dumps({**data, "data": {**data.get("data", {}), "on_bad_row": "skip"}}))
    task, _ = dry_run(spec)
    assert (task.samples, task.valid_samples, task.skipped) == (9, 3, 1)


def test_a_filter_gets_every_column_of_a_table_as_json(write_spec: Any, tmp_path: Path) -> None:
    import datetime

    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    columns = {
        "problem": ["a", "a", "b"],
        "answer": ["x = 1", "x = 1", "y = 2"],
        "tests": ["t", None, "u"],
        "made": [datetime.datetime(2026, 1, 2)] * 3,
        "thumbnail": [b"abc"] * 3,
    }
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    cache = tmp_path / "cache"
    spec = write_spec(train=["a.parquet"], filters=["exact-duplicates"], columns={"problem": "prompt"})
    data = json.loads(spec.read_text("utf-8"))
    spec.write_text(json.dumps({**data, "data": {**data.get("data", {}), "cache": str(cache)}}))
    assert dry_run(spec)[0].samples == 2
    (kept,) = cache.glob("filtered/*/rows.jsonl")
    assert [json.loads(line) for line in kept.read_text("utf-8").splitlines()] == [
        {
            "prompt": "a",
            "answer": "x = 1",
            "tests": "t",
            "made": "2026-01-02T00:00:00",
            "thumbnail": {"bytes": 3},
        },
        {
            "prompt": "b",
            "answer": "y = 2",
            "tests": "u",
            "made": "2026-01-02T00:00:00",
            "thumbnail": {"bytes": 3},
        },
    ]


GENERATOR = """
    import mftkit

    @mftkit.hookimpl
    def register_data_generators(register):
        register("numbers", Numbers, summary="numbered rows")

    class Numbers(mftkit.DataGenerator):
        asked = 0

        class Options(mftkit.Options):
            count: int = 10

        def rows(self, context):
            type(self).asked += 1
            for i in range(self.options.count):
                yield {"prompt": f"number {i}", "answer": str(i)}
"""


@pytest.fixture
def numbers(install: Install) -> Iterator[Any]:
    install("numbers-dist", {"numbers": "numbers_plugin"}, {"numbers_plugin": GENERATOR})
    installed.registry.cache_clear()
    yield installed.registry().get(kinds.DATA_GENERATOR, "numbers").resolve()
    installed.registry.cache_clear()


def test_a_generators_rows_are_kept_by_its_options(write_spec: Any, numbers: Any) -> None:
    task, _ = dry_run(write_spec(generator="numbers"))
    again, _ = dry_run(write_spec(generator={"name": "numbers", "options": {"count": 10}}))
    assert (task.samples, again.samples, numbers.asked) == (10, 10, 1)
    more, _ = dry_run(write_spec(generator={"name": "numbers", "options": {"count": 12}}))
    assert (more.samples, numbers.asked) == (12, 2)
    back, _ = dry_run(write_spec(generator="numbers"))
    assert (back.samples, numbers.asked) == (10, 2)
