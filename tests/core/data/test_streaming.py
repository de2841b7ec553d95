"""Streamed training data: what a chunk holds, what is on the disk, what is resumed, and what is refused."""

from __future__ import annotations

import gc
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

import mftkit
from mftkit.data import streaming
from mftkit.data.corpus import _Preparation, prepare
from mftkit.data.streaming import StreamedTask, rows_per_chunk
from mftkit.data.tokens.train_tokenizer import train_bpe
from mftkit.reporting.reporter import Reporter
from mftkit.training import loop
from mftkit_registry.errors import MftError
from recorder import Recorder
from small_runs import comparable, metrics, rows, small_spec, write_rows

CHUNK = 24


class InterruptedRunError(Exception):
    """Ends a run as a kill does: nothing is saved any more."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data of two tasks, the second of which has fewer rows than a run reads, and a tokenizer."""
    directory = tmp_path_factory.mktemp("streaming")
    write_rows(directory / "data" / "big.jsonl", rows("big", 300))
    write_rows(directory / "data" / "small.jsonl", rows("small", 30))
    write_rows(directory / "data" / "valid.jsonl", rows("big", 310)[300:])
    texts = [json.dumps(row) for row in rows("big", 100)]
    train_bpe(texts, 300).save_pretrained(directory / "tokenizer")
    return directory


def given(project: Path, output: str | Path = "run", **changes: Any) -> dict[str, Any]:
    training = {"max_steps": 9, "batch_size": 8, "log_every": 1, "checkpoint_every": 2, "evaluate_every": 6}
    spec = small_spec(
        output=str(output),
        max_length=48,
        data={"cache": str(project / "cache" / Path(output).name), "streaming": {"chunk": CHUNK}},
        tasks=[
            {"name": "big", "train": ["data/big.jsonl"], "valid": ["data/valid.jsonl"]},
            {"name": "small", "train": ["data/small.jsonl"], "valid": 0},
        ],
        training=training | changes.pop("training", {}),
        **changes,
    )
    spec["model"]["tokenizer"] = "tokenizer"
    return spec


def load(project: Path, output: str | Path = "run", **changes: Any) -> Any:
    return mftkit.load_spec(given(project, output, **changes), directory=project)


def corpus_of(project: Path, spec: Any, reporter: Reporter | None = None) -> Any:
    from transformers import AutoTokenizer

    return prepare(spec, AutoTokenizer.from_pretrained(project / "tokenizer"), reporter or Reporter())


def tokens(samples: Any) -> list[list[int]]:
    return [samples[i].tokens.tolist() for i in range(len(samples))]


def lines(samples: Any, task: int) -> list[int]:
    """The lines of a task's samples in a chunk."""
    return [int(samples.origin(i).rpartition(":")[2]) for i in range(len(samples)) if samples.task[i] == task]


def test_chunks_hold_consecutive_rows_and_a_stream_starts_again(project: Path) -> None:
    listener = Recorder()
    train = corpus_of(project, load(project, "order"), listener).train
    chunks = [train.in_epoch(number) for number in range(4)]
    half = CHUNK // 2
    assert [lines(chunk, 0) for chunk in chunks] == [
        list(range(k * half + 1, (k + 1) * half + 1)) for k in range(4)
    ]
    small = [line for chunk in chunks for line in lines(chunk, 1)]
    assert small == [*range(1, 31), *range(1, 19)]
    again = [message for message in listener.warnings if "starts again" in message]
    assert again == ["task small: its stream has ended, and starts again from its first row"]


def test_a_chunk_is_the_same_whatever_was_read_before(project: Path) -> None:
    first, second = (
        corpus_of(project, load(project, "a")).train,
        corpus_of(project, load(project, "b")).train,
    )
    expected = {number: tokens(first.in_epoch(number)) for number in range(8)}
    assert {number: tokens(second.in_epoch(number)) for number in (7, 2, 3)} == {
        number: expected[number] for number in (7, 2, 3)
    }


@pytest.mark.parametrize("kind", ["jsonl.gz", "parquet", "dataset"])
def test_other_kinds_of_source_give_the_same_chunks(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "downloads"))
    path = project / "data" / "big.jsonl"
    source: Any = str(tmp_path / f"big.{kind}")
    if kind == "jsonl.gz":
        Path(source).write_bytes(gzip.compress(path.read_bytes()))
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows("big", 300)), source, row_group_size=17)
    else:
        source = {"dataset": "json", "data_files": str(path)}
    spec = given(project, f"kind-{kind}")
    expected = corpus_of(project, load(project, "plain")).train.in_epoch(9)
    spec["tasks"][0]["train"] = [source]
    found = corpus_of(project, mftkit.load_spec(spec, directory=project)).train.in_epoch(9)
    assert tokens(found) == tokens(expected)
    assert not list((tmp_path / "downloads").rglob("*.arrow"))  # nothing was prepared as a whole


def interrupt_at(spec: Any, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    make_step = loop.Trainer._make_step

    def stopped(self: Any, stop: Any) -> Any:
        if self.step == step:
            raise InterruptedRunError
        return make_step(self, stop)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Trainer, "_make_step", stopped)
        with pytest.raises(InterruptedRunError):
            mftkit.run(spec, progress=False)


def test_a_resumed_run_gives_the_metrics_of_the_unbroken_one_on_a_bounded_disk(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = load(project, tmp_path / "whole"), load(project, tmp_path / "broken")
    root = Path(whole.data.cache) / "tokens"
    tables, lost = [], []

    class DiskUse(mftkit.Callback[Any]):
        def on_step_end(self, *_arguments: Any) -> None:
            tables.append([path.stat().st_size for path in root.rglob("samples.arrow")])
            maps = Path("/proc/self/maps")  # what is removed, but still mapped, is still on the disk
            mapped = maps.read_text().splitlines() if maps.exists() else []
            lost.append([line for line in mapped if str(root) in line and "(deleted)" in line])

    assert mftkit.run(whole, progress=False, callbacks=[DiskUse]).reason == "finished"
    assert [len(found) for found in tables] == [3] * 3 + [5] * 6  # two tasks' chunks, and the validation rows
    assert max(map(sum, tables)) < 2.5 * sum(tables[0])
    assert not any(lost)

    interrupt_at(broken, 5, monkeypatch)  # in the second chunk; the last checkpoint is of step 4
    prepared: list[int] = []
    prepare_chunk = _Preparation.chunk

    def noted(self: Any, number: int) -> Any:
        prepared.append(number)
        return prepare_chunk(self, number)

    monkeypatch.setattr(_Preparation, "chunk", noted)
    assert mftkit.run(broken, progress=False).reason == "finished"
    assert comparable(metrics(broken.output)) == comparable(metrics(whole.output))
    assert prepared == [1, 2]


def test_two_processes_share_the_tables_of_a_run(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes what the other made, or makes it itself, wherever its own stream is."""
    monkeypatch.setattr(streaming, "_HEAD_START", 0.01)
    first, second = (corpus_of(project, load(project, "shared")).train for _ in range(2))
    expected = corpus_of(project, load(project, "alone")).train
    for number, order in ((1, (first, second)), (2, (second, first)), (3, (first, second))):
        for samples in order:
            assert tokens(samples.in_epoch(number)) == tokens(expected.in_epoch(number))
    assert (
        first.in_epoch(3).parts[0].table.lengths.tolist()
        == second.in_epoch(3).parts[0].table.lengths.tolist()
    )


def test_tables_are_removed_with_what_uses_them(project: Path) -> None:
    spec = load(project, "removed")
    corpus = corpus_of(project, spec)
    corpus.train.in_epoch(2)
    root = Path(spec.data.cache) / "tokens"
    assert len(list(root.glob("*/samples.arrow"))) == 5
    del corpus
    gc.collect()
    assert len(list(root.glob("*/samples.arrow"))) == 1  # the validation rows


def test_rows_of_a_chunk_follow_the_proportions(project: Path) -> None:
    assert rows_per_chunk(load(project)) == (12, 12)
    mixed = load(project, mixing={"proportions": {"big": 5, "small": 1}})
    assert rows_per_chunk(mixed) == (20, 4)


def test_a_component_that_reads_sizes_is_refused() -> None:
    task = StreamedTask("code", 1.0, 3)
    assert (task.name, task.weight, task.valid_samples) == ("code", 1.0, 3)
    with pytest.raises(MftError, match="number of training samples of task code"):
        _ = task.samples
    with pytest.raises(MftError, match="number of training loss tokens of task code"):
        _ = task.tokens


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training": {"max_steps": None}}, "training.max_steps: is needed with data.streaming"),
        ({"training": {"task_mean": "dataset"}}, "training.task_mean: needs the tasks' sizes"),
        ({"training": {"batch_size": 32}}, "data.streaming.chunk: should be at least 32"),
        ({"mixing": {"temperature": 2}}, "mixing.temperature: may need the tasks' sizes"),
        ({"mixing": {"mixer": {"name": "bandit"}}}, "mixing.mixer: may need the tasks' sizes"),
        ({"mixing": {"proportions": {"big": 1, "small": 0}}}, "mixing.proportions.small: should be above 0"),
        (
            {"mixing": {"proportions": {"big": 1, "small": 1}, "by": "tokens"}},
            "mixing.by: needs the tasks' sizes",
        ),
        ({"mixing": {"proportions": {"big": 1, "small": 1}, "epoch_samples": 9}}, "mixing.epoch_samples:"),
        ({"task": {"valid": 0.05}}, "tasks.0.valid: is a fraction, which needs a second pass"),
        (
            {"task": {"filters": [{"name": "exact-duplicates"}]}},
            "tasks.0.filters: read all rows before the run",
        ),
        ({"tokenizer": {"train_bpe": 300}}, "model.tokenizer.train_bpe: trains a tokenizer on all rows"),
    ],
)
def test_what_needs_all_rows_is_refused(project: Path, changes: dict[str, Any], message: str) -> None:
    task, tokenizer = changes.pop("task", {}), changes.pop("tokenizer", "tokenizer")
    spec = given(project, **changes)
    spec["tasks"][0] |= task
    spec["model"]["tokenizer"] = tokenizer
    with pytest.raises(MftError) as error:
        mftkit.load_spec(spec, directory=project)
    assert message in str(error.value)
    assert "errors:" not in str(error.value)


def test_weights_in_a_later_chunk_are_refused_by_a_loss_that_does_not_read_them(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mftkit_plugins.losses.token_balanced import TokenBalanced

    monkeypatch.setattr(TokenBalanced, "reads_sample_weights", False)
    weighted = [row | ({"weight": 2} if number == 20 else {}) for number, row in enumerate(rows("big", 40))]
    write_rows(tmp_path / "weighted.jsonl", weighted)
    spec = given(project, tmp_path / "weighted")
    spec["tasks"][0]["train"] = [str(tmp_path / "weighted.jsonl")]
    spec["loss"] = "token-balanced"
    with pytest.raises(MftError, match=r"weighted\.jsonl:21\)"):
        mftkit.run(mftkit.load_spec(spec, directory=project), progress=False)


def test_a_json_file_is_refused(project: Path) -> None:
    (project / "data" / "rows.json").write_text(json.dumps(rows("big", 3)))
    spec = given(project)
    spec["tasks"][0]["train"] = ["data/rows.json"]
    with pytest.raises(MftError, match=r"tasks\.0\.train: .*rows\.json cannot be streamed"):
        corpus_of(project, mftkit.load_spec(spec, directory=project))
