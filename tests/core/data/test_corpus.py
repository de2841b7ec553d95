import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from data_path import chat_row, sections, tokenizer, write_lines
from mftkit.data.corpus import Corpus, prepare
from mftkit.data.rows.reading import RowFindings
from mftkit_registry.errors import MftError
from recorder import Recorder

TOK = tokenizer()


def rows(name: str, count: int) -> list[dict[str, Any]]:
    return [
        chat_row(f"{name} {i}?", f"answer {i} " + "more " * (i % 7), id=i, data_name=name)
        for i in range(count)
    ]


def corpus(cache: Path, *tasks: dict[str, Any], listener: Recorder | None = None, **changes: Any) -> Corpus:
    return prepare(sections(cache, *tasks, **changes), TOK, listener or Recorder())


@pytest.fixture
def two(tmp_path: Path) -> list[dict[str, Any]]:
    write_lines(tmp_path / "a.jsonl", rows("a", 40))
    write_lines(tmp_path / "b.jsonl", rows("b", 12))
    return [
        {"name": "a", "train": ["a.jsonl"], "valid": 0.1},
        {"name": "b", "train": ["b.jsonl"], "valid": ["b.jsonl"], "weight": 2.0},
    ]


def test_samples_come_task_by_task_and_say_where_they_stand(
    tmp_path: Path, two: list[dict[str, Any]]
) -> None:
    made = corpus(tmp_path, *two)
    assert made.train.task.tolist() == [0] * 36 + [1] * 12
    assert made.valid.task.tolist() == [0] * 4 + [1] * 12
    assert [(t.name, t.weight, t.samples, t.valid_samples) for t in made.tasks] == [
        ("a", 1.0, 36, 4),
        ("b", 2.0, 12, 12),
    ]
    for split in (made.train, made.valid):
        for i in range(len(split)):
            sample = split[i]
            path, line = split.origin(i).rsplit(":", 1)
            row = json.loads(Path(path).read_text(encoding="utf-8").splitlines()[int(line) - 1])
            ask, answer = (turn["content"] for turn in row["chat_rounds"])
            assert TOK.decode(sample.tokens) == f"<s>human\n{ask}\n<s>bot\n{answer}</s>"
            assert TOK.decode(sample.tokens[sample.loss_mask]) == f"{answer}</s>"
            assert (sample.index, sample.task) == (i, split.task[i])
            assert (len(sample.tokens), sample.loss_mask.sum()) == (split.lengths[i], split.loss_tokens[i])
    counting = [made.train.loss_tokens[made.train.task == task].sum() for task in (0, 1)]
    assert [task.tokens for task in made.tasks] == counting
    with pytest.raises(IndexError):
        made.train[len(made.train)]


def test_tokens_of_a_small_vocabulary_take_two_bytes_on_the_disk(
    tmp_path: Path, two: list[dict[str, Any]]
) -> None:
    sample = corpus(tmp_path, *two).train[3]
    assert sample.tokens.dtype == np.int32
    for file in tmp_path.rglob("samples.arrow"):
        assert pa.ipc.open_file(file).schema.field("tokens").type == pa.list_(pa.uint16())


def test_the_split_depends_on_neither_files_nor_order_nor_ids(tmp_path: Path) -> None:
    made = rows("a", 60)

    def held_out(folder: str, parts: list[list[dict[str, Any]]]) -> set[str]:
        for i, part in enumerate(parts):
            write_lines(tmp_path / folder / f"{i}.jsonl", part)
        valid = corpus(tmp_path, {"name": "a", "train": [folder], "valid": 0.15}).valid
        return {TOK.decode(valid[i].tokens) for i in range(len(valid))}

    whole = held_out("one", [made])
    shuffled = [{**row, "id": None, "data_name": "x"} for row in random.Random(3).sample(made, 60)]
    assert len(whole) == 9
    assert held_out("two", [shuffled[:20], shuffled[20:]]) == whole


def test_overlong_samples_are_cut_and_counted(tmp_path: Path) -> None:
    long_answer, long_prompt = chat_row("short", "word " * 200), chat_row("word " * 200, "short")
    write_lines(tmp_path / "a.jsonl", [*rows("a", 4), long_answer, long_prompt])
    task = {"name": "a", "train": ["a.jsonl"], "valid": 0}
    listener = Recorder()
    made = corpus(tmp_path, task, max_length=100, listener=listener)
    assert len(made.train) == 5
    assert made.train.lengths.max() == 100 == len(made.train[4].tokens)
    assert made.train[4].loss_mask.sum() == made.train.loss_tokens[4] < 100
    assert (made.reports[0].truncated, made.reports[0].dropped, made.reports[0].rows) == (1, 1, 6)
    assert "task a: truncated the end of 1 samples to max_length" in "\n".join(listener.warnings)
    assert "task a: dropped 1 samples: no loss tokens left after truncation" in "\n".join(listener.warnings)
    assert made.warnings == tuple(listener.warnings)

    dropped = corpus(tmp_path, task, max_length=100, data={"overlong": "drop"})
    assert (len(dropped.train), dropped.reports[0].truncated, dropped.reports[0].dropped) == (4, 0, 2)
    assert dropped.reports[0].cached  # the cut is not in the cache
    assert dropped.fingerprint != made.fingerprint
    with pytest.raises(MftError, match=r"a\.jsonl:5: \d+ tokens, but max_length is 100"):
        corpus(tmp_path, task, max_length=100, data={"overlong": "error"})


def test_text_and_chat_tasks_in_one_run(tmp_path: Path, two: list[dict[str, Any]]) -> None:
    write_lines(tmp_path / "t.jsonl", [{"text": f"def f{i}(): pass"} for i in range(10)])
    made = corpus(tmp_path, *two, {"name": "t", "format": "text", "train": ["t.jsonl"]})
    sample = made.train[len(made.train) - 1]
    assert TOK.decode(sample.tokens).endswith("(): pass</s>")
    assert sample.loss_mask.tolist() == [False] + [True] * (len(sample.tokens) - 1)


def test_bad_rows_are_refused_or_counted(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", [*rows("a", 5), {"prompt": 3, "answer": "x"}, {"messages": []}])
    task = {"name": "a", "train": ["a.jsonl"], "valid": 0}
    with pytest.raises(MftError, match=r"a\.jsonl:6: 'prompt' must be a string"):
        corpus(tmp_path, task)
    for cached in (False, True):
        listener = Recorder()
        made = corpus(tmp_path, task, data={"on_bad_row": "skip"}, listener=listener)
        assert (made.reports[0].skipped, made.reports[0].rows, made.reports[0].cached) == (2, 5, cached)
        assert any(
            "2 bad rows skipped" in t and "a.jsonl:6: " in t and "a.jsonl:7: " in t for t in listener.warnings
        )


def test_no_sample_to_train_on_and_none_to_validate_with(tmp_path: Path) -> None:
    write_lines(tmp_path / "long.jsonl", [chat_row("word " * 100, "x")])
    with pytest.raises(MftError, match=r"task a: no samples left .*long\.jsonl.*no loss tokens left"):
        corpus(tmp_path, {"name": "a", "train": ["long.jsonl"]}, max_length=20)
    write_lines(tmp_path / "one.jsonl", rows("a", 1))
    listener = Recorder()
    made = corpus(tmp_path, {"name": "a", "train": ["one.jsonl"]}, listener=listener)
    assert (len(made.train), len(made.valid)) == (1, 0)
    assert [warning for warning in listener.warnings if "validation set is empty" in warning]


def test_validation_rows_that_are_trained_on_are_reported(tmp_path: Path, two: list[dict[str, Any]]) -> None:
    listener = Recorder()
    corpus(tmp_path, *two, listener=listener)
    assert "task b: 12 validation rows are also training rows" in listener.warnings


def test_a_template_and_markers_are_cached_apart(tmp_path: Path, two: list[dict[str, Any]]) -> None:
    tok = tokenizer()
    tok.chat_template = "{% for m in messages %}<s>{{ m['role'] }} {{ m['content'] }}</s>{% endfor %}"
    spec = sections(tmp_path, *two)
    one = prepare(spec, tok, Recorder())
    two_ = prepare(sections(tmp_path, *two, chat={"format": "markers"}), tok, Recorder())
    assert one.fingerprint != two_.fingerprint
    assert TOK.decode(one.train[0].tokens).startswith("<s>user a 0?</s>")
    assert TOK.decode(two_.train[0].tokens).startswith("<s>human\na 0?\n<s>bot\n")


def test_findings_are_read_from_the_cache_as_they_were_written() -> None:
    findings = RowFindings("error", rows=3)
    findings.at(0, 7)
    for _ in range(2):  # twice of the same row
        findings.note("in {rows} something is odd", "x")
    findings.at(0, 8)
    findings.note("in {rows} something is odd", "y")
    again = RowFindings.from_json(json.loads(json.dumps(findings.to_json())))
    assert list(again.messages("t", ["a"])) == ["task t: in 2 rows something is odd (the first: a:7: x)"]
