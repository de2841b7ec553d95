"""metrics.jsonl: what is written is read back, and a damaged, cut off or newer file is read as far as it can be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mftkit.reporting.lines import (
    DamagedLineError,
    EndLine,
    Line,
    RollbackLine,
    TaskTraining,
    TaskValidation,
    TrainLine,
    ValidLine,
    line_from_json,
)
from mftkit.runs.metrics_file import MetricsFile

TRAIN = (
    '{"event": "train", "step": 5, "epoch": 0.5, "loss": 2.5, "tasks": {"a": {"loss": null, "weight": 1.0, '
    '"tokens": 7, "samples": 2}}, "learning_rate": 0.001, "grad_norm": 0.75, "tokens_per_second": 10.5, '
    '"padding": 0.25}'
)
VALID = '{"event": "valid", "step": 0, "loss": 3.5, "tasks": {"a": {"loss": 3.5, "tokens": 9}}}'
END = '{"event": "end", "reason": "finished", "step": 5, "best_step": 5, "error": null}'


@pytest.fixture
def file(tmp_path: Path) -> MetricsFile:
    return MetricsFile(tmp_path / "metrics.jsonl")


def test_lines_are_written_as_ever_and_read_back(file: MetricsFile) -> None:
    lines: list[Line] = [
        ValidLine(0, 3.5, {"a": TaskValidation(3.5, 9)}),
        TrainLine(5, 0.5, 2.5, {"a": TaskTraining(None, 1.0, 7, 2)}, 0.001, 0.75, 10.5, 0.25),
        EndLine("finished", 5, 5),
    ]
    for line in lines:
        file.write(line)
    assert file.path.read_text().split("\n") == [VALID, TRAIN, END, ""]
    read = file.read()
    assert [*read.valid, *read.train, read.end] == lines


def test_the_auxiliary_loss_stands_last_and_only_where_there_is_one() -> None:
    line = TrainLine(1, 0.1, 1.0, {}, auxiliary_loss=0.5)
    assert list(line.to_json().items())[-1] == ("auxiliary_loss", 0.5)
    assert TrainLine.from_json(line.to_json()) == line


def test_lines_past_a_step_and_ends_are_cut_and_the_others_kept_as_they_are(file: MetricsFile) -> None:
    later = '{"event": "evaluated", "step": 5, "score": 1}'  # of a later version
    other = [VALID, TRAIN, later, END, TRAIN.replace('"step": 5', '"step": 6'), '{"event": "tra']
    file.path.write_text("\n".join(other))
    file.cut(5)
    assert file.path.read_text() == "\n".join([VALID, TRAIN, later, ""])


def test_damaged_lines_that_are_not_written_again_are_named(file: MetricsFile) -> None:
    later = TRAIN.replace('"step": 5', '"step": 6')
    file.path.write_text("\n".join([VALID, "\0", TRAIN[:-1], TRAIN, "", "{", later, '{"event": "tra']))
    assert file.cut(5) == [2, 3]
    assert file.path.read_text() == f"{VALID}\n{TRAIN}\n"
    assert file.cut(5) == []


def test_a_line_cut_off_by_a_kill_is_left_out(file: MetricsFile) -> None:
    file.path.write_text(f'{VALID}\n{{"event": "tra')
    read = file.read()
    assert len(read.valid) == 1
    assert (read.is_cut_off, read.damaged, read.end) == (True, [], None)


def test_an_end_counts_only_as_the_last_line(file: MetricsFile) -> None:
    file.path.write_text(f"{END}\n{TRAIN}\n")
    assert file.read().end is None
    file.path.write_text(f"{TRAIN}\n{END}\n")
    end = file.read().end
    assert end is not None
    assert end.is_complete
    assert not EndLine("failed", 3).is_complete


def test_numbers_that_are_not_finite_are_null(file: MetricsFile) -> None:
    file.write(ValidLine(0, float("nan"), {"a": TaskValidation(float("inf"), 1)}))
    assert json.loads(file.path.read_text()) == {
        "event": "valid",
        "step": 0,
        "loss": None,
        "tasks": {"a": {"loss": None, "tokens": 1}},
    }


def test_other_versions_lines_are_read(file: MetricsFile) -> None:
    short = {"event": "valid", "step": 0, "loss": 1, "tasks": {"a": {"loss": 1}}}
    newer = {**json.loads(TRAIN), "energy": {"joules": 3}}
    file.path.write_text("\n".join(json.dumps(line) for line in (short, newer)) + "\n")
    read = file.read()
    assert read.valid == [ValidLine(0, 1, {"a": TaskValidation(1)})]
    assert read.train == [TrainLine.from_json(json.loads(TRAIN))]
    assert line_from_json({"event": "evaluated", "step": 3}) is None


@pytest.mark.parametrize(
    "line",
    [
        [],
        {"step": 1},
        {"event": "train", "loss": 1, "tasks": {}},
        {"event": "valid", "step": 1, "tasks": {}},
        {"event": "train", "step": 5, "loss": 1, "tasks": {"a": 3}},
        {"event": "train", "step": 5, "loss": 1, "tasks": {"a": {"loss": 1}}},
        {"event": "end", "reason": "finished"},
    ],
)
def test_damage_is_named_by_its_line(line: Any, file: MetricsFile) -> None:
    with pytest.raises(DamagedLineError):
        line_from_json(line)
    file.path.write_text(f"{VALID}\n{json.dumps(line)}\n{END}\n")
    read = file.read()
    assert read.damaged == [2]
    assert (len(read.valid), read.end is not None) == (1, True)


def valid(step: int, loss: float) -> ValidLine:
    return ValidLine(step, loss, {"a": TaskValidation(loss, 9)})


def rolled_back(file: MetricsFile) -> None:
    for line in (valid(0, 9), valid(2, 5), valid(4, 6)):
        file.write(line)
    file.write(RollbackLine(4, 2, "a"))
    file.write(valid(4, 7))
    file.write(RollbackLine(4, 2, "b"))
    file.write(valid(4, 8))
    file.write(EndLine("finished", 4, 2))


def test_training_that_was_given_up_is_not_read(file: MetricsFile) -> None:
    rolled_back(file)
    found = file.read()
    assert [(line.step, line.loss) for line in found.valid] == [(0, 9), (2, 5), (4, 8)]
    assert found.rollbacks == [RollbackLine(4, 2, "a"), RollbackLine(4, 2, "b")]
    assert found.end is not None


@pytest.mark.parametrize(
    ("rollbacks", "step", "losses", "dropped"),
    [
        (0, 0, [9], []),
        (0, 2, [9, 5], []),
        (0, 4, [9, 5, 6], []),  # the checkpoint with which the run went back
        (1, 2, [9, 5], ["a"]),
        (1, 4, [9, 5, 7], ["a"]),
        (2, 2, [9, 5], ["a", "b"]),
        (2, 4, [9, 5, 8], ["a", "b"]),
        (0, -1, [], []),
    ],
)
def test_a_file_is_cut_to_a_checkpoint_before_or_after_rollbacks(
    file: MetricsFile, rollbacks: int, step: int, losses: list[float], dropped: list[str]
) -> None:
    rolled_back(file)
    file.cut(step, rollbacks=rollbacks)
    found = file.read()
    assert [line.loss for line in found.valid] == losses
    assert [line.task for line in found.rollbacks] == dropped
    assert found.end is None


def test_nothing_is_cut_where_the_last_rollback_was_not_written(file: MetricsFile) -> None:
    rolled_back(file)
    file.cut(2, rollbacks=3)
    file.write(RollbackLine(4, 2, "c"))
    assert [line.loss for line in file.read().valid] == [9, 5]
    assert len(file.read().rollbacks) == 3
