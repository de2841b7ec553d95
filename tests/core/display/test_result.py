from __future__ import annotations

import json
from signal import SIGINT
from typing import TYPE_CHECKING, Any

import pytest

from mftkit.display.result import failure_text, result_view
from mftkit.display.tables import as_text
from mftkit.reporting.outcome import Outcome

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType


def outcome(reason: str = "finished", **more: Any) -> Outcome:
    return Outcome(**{"reason": reason, "step": 300, "best_step": 280, **more})


def written(directory: Path, lines: list[dict[str, Any]], tail: str = "") -> Path:
    directory.mkdir(exist_ok=True)
    (directory / "metrics.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in lines) + tail, "utf-8"
    )
    return directory


def test_a_run_without_a_finite_loss_has_no_row_and_says_why(tmp_path: Path) -> None:
    tasks = {"a": {"loss": None}}
    line = {"event": "valid", "step": 0, "loss": None, "tasks": tasks}
    text = as_text(result_view(written(tmp_path, [line]), outcome("failed", step=0, error="not finite")), 80)
    assert "failed after step 0" in text


@pytest.mark.parametrize("width", [60, 80, 120, None])
def test_first_best_last_and_perplexity_of_each_task(
    scripted: ModuleType, tmp_path: Path, width: int | None
) -> None:
    text = as_text(result_view(written(tmp_path, list(scripted.lines())), outcome()), width)
    rows = [line.split() for line in text.split("\n")]
    assert ["repair", "4.5000", "2.2908", "200", "2.7060", "9.88"] in rows
    assert ["code-comment", "4.3000", "1.7060", "300", "1.7060", "5.51"] in rows
    assert ["mean", "of", "tasks", "4.3500", "1.9560", "300", "1.9560", "-"] in rows
    assert width is None or max(map(len, text.split("\n"))) <= width


def test_the_result_says_how_the_model_is_loaded(scripted: ModuleType, tmp_path: Path) -> None:
    text = as_text(result_view(written(tmp_path, list(scripted.lines())), outcome()))
    assert f"AutoModelForCausalLM.from_pretrained('{tmp_path / 'model'}')" in text
    assert f"AutoTokenizer.from_pretrained('{tmp_path / 'model'}')" in text
    assert "from step 280" in text


def test_without_validation_the_training_losses_are_reported(scripted: ModuleType, tmp_path: Path) -> None:
    lines = [line for line in scripted.lines() if line["event"] == "train"]
    text = as_text(result_view(written(tmp_path, lines), outcome(best_step=None)))
    assert ["repair", "3.9255", "1.7060"] in [line.split() for line in text.split("\n")]
    assert "from the last step" in text


def test_losses_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    lines = [
        {"event": "valid", "step": step, "loss": None, "tasks": {"a": {"loss": a}, "b": {"loss": None}}}
        for step, a in [(0, 2.0), (10, None)]
    ]
    rows = [row.split() for row in as_text(result_view(written(tmp_path, lines), outcome())).split("\n")]
    assert ["a", "2.0000", "2.0000", "0", "2.0000", "7.39"] in rows
    assert not any(row[:1] == ["b"] for row in rows)


@pytest.mark.parametrize("reason", ["interrupted", "failed"])
def test_a_run_that_did_not_end_shows_no_model(scripted: ModuleType, tmp_path: Path, reason: str) -> None:
    assert "from_pretrained" not in as_text(
        result_view(written(tmp_path, list(scripted.lines())), outcome(reason))
    )


def test_a_run_without_a_line_has_a_result_too(tmp_path: Path) -> None:
    assert as_text(result_view(tmp_path, outcome("failed", step=0))) == "failed after step 0"


def test_how_a_run_ended(tmp_path: Path) -> None:
    assert failure_text(tmp_path, outcome()) is None
    text = failure_text(tmp_path, outcome("interrupted", signal=SIGINT))
    assert text is not None
    assert "SIGINT" in text
    assert "the same command resumes the run" in text
    text = failure_text(tmp_path, outcome("failed", error="out of memory in step 12"))
    assert text is not None
    assert "out of memory in step 12" in text
