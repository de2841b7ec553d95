"""A run that resumes opens each file of its checkpoint once, and reports lines of its metrics that are damaged."""

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import mftkit
from small_runs import rows, small_spec, write_rows

_opened: Counter[str] = Counter()


def _count(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and "step-0" in str(arguments[0]):
        _opened[Path(arguments[0]).name] += 1


sys.addaudithook(_count)


class Looks(mftkit.Callback[Any]):
    """Keeps what was opened until the run trains on."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: Counter[str] = Counter()

    def on_run_start(self, run: mftkit.RunInfo, step: int) -> None:
        assert step == 2
        self.opened = _opened.copy()


def test_a_file_of_a_checkpoint_is_opened_once_and_damaged_lines_are_reported(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for task in ("big", "small"):
        write_rows(tmp_path / "data" / f"{task}.jsonl", rows(task, 40))
    training: dict[str, Any] = {"max_steps": 2, "checkpoint_every": 2, "extension": "stretch"}
    mftkit.run(mftkit.load_spec(small_spec(tuning="full", training=training), directory=tmp_path))
    metrics = next(tmp_path.glob("**/metrics.jsonl"))
    metrics.write_text(metrics.read_text().replace('"event": "train"', '"event": "tra\0n"', 1))
    _opened.clear()
    looks, training["max_steps"] = Looks(), 3
    spec = mftkit.load_spec(small_spec(tuning="full", training=training), directory=tmp_path)
    mftkit.run(spec, callbacks=[looks])
    assert (
        looks.opened.pop("manifest.json") >= 1
    )  # names the files, and is looked at before anything is prepared
    assert looks.opened == {"model.safetensors": 1, "state.pt": 1}
    assert "metrics.jsonl: 1 damaged line was left out (line 2)" in capfd.readouterr().err
