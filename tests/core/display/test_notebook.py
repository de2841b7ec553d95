"""The display in a notebook, with everything that it shows recorded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mftkit.display.notebook import BETWEEN, NotebookReporter, in_notebook
from mftkit.reporting.generation_progress import GenerationProgress
from mftkit.reporting.lines import TaskTraining, TaskValidation, TrainLine, ValidLine
from mftkit.reporting.outcome import Outcome

if TYPE_CHECKING:
    from types import ModuleType


class Area:
    """An output area, and the clock by which it is updated."""

    def __init__(self) -> None:
        self.now = 0.0
        self.shown: list[tuple[str, str]] = []
        self.reporter = NotebookReporter(lambda html, text: self.shown.append((html, text)), lambda: self.now)

    @property
    def html(self) -> str:
        return self.shown[-1][0]

    @property
    def text(self) -> str:
        return self.shown[-1][1]


@pytest.fixture
def area() -> Area:
    return Area()


def test_it_is_updated_a_few_times_per_second_and_loses_nothing(area: Area) -> None:
    with area.reporter as reporter:
        for number in range(50):
            reporter.note(f"message {number}")
        assert len(area.shown) == 1
        area.now += BETWEEN
        reporter.warn("look <b>here</b>")
        assert len(area.shown) == 2
        assert "warning: look &lt;b&gt;here&lt;/b&gt;" in area.html
        reporter.note("the last one")
    assert area.text.splitlines()[-2:] == ["warning: look <b>here</b>", "the last one"]
    assert area.text.count("message") == 50


def test_work_is_shown_while_it_lasts(area: Area) -> None:
    with area.reporter.progress("reading", 10) as advance, area.reporter.progress("unknown", None):
        area.now += BETWEEN
        advance(4)
        assert "<progress value='4' max='10'>" in area.html
        assert "<progress></progress> unknown: 0" in area.html
        assert "reading: 4 of 10" in area.text
    state = GenerationProgress("making rows of", "exercises", 8)
    with area.reporter.generation(state) as changed:
        state.rows = 3
        area.now += BETWEEN
        changed()
        assert "3 of 8" in area.text
    area.reporter.note("done")
    area.reporter.close()
    assert area.text == "done"


def test_losses_by_task_and_the_end(area: Area) -> None:
    reporter = area.reporter
    for step, loss in ((0, 5.0), (2, 3.0), (4, 4.0)):
        area.now += BETWEEN
        if step:
            reporter.step_ended(
                step, TrainLine(step, step / 4, loss, {"<a>": TaskTraining(loss, 1.0, 10, 2)})
            )
        reporter.validated(
            ValidLine(step, loss, {"<a>": TaskValidation(loss, 7), "none": TaskValidation(None, 0)})
        )
    reporter.step_ended(4, None)
    reporter.show_result(Path("run"), Outcome("failed", 4, 2, "no <memory>"))
    assert "&lt;a&gt;" in area.html
    assert (
        "task <a>, training loss 4.0000, weight 1.000, first validation loss 5.0000, last 4.0000, best 3.0000 (step 2)"
        in area.text
    )
    assert "task none, training loss -" in area.text


def test_a_dry_run_shows_the_plan_without_a_bar(area: Area, scripted: ModuleType) -> None:
    area.reporter = NotebookReporter(lambda html, text: area.shown.append((html, text)), dry_run=True)
    area.reporter.planned(scripted.plan(Path("run")))
    area.reporter.close()
    assert "<progress" not in area.html
    assert "four-tasks: 300 steps; samples: code-completion 400, code-comment 120" in area.text


def test_a_test_is_no_notebook() -> None:
    assert not in_notebook()


def test_a_whole_run(area: Area, scripted: ModuleType, tmp_path: Path) -> None:
    """The plan in a line, the bar while it trains, and the end in its place."""
    area.reporter.planned(scripted.plan(tmp_path))
    assert "<progress value='0' max='300'>" in area.html
    area.now += BETWEEN
    area.reporter.step_ended(60, TrainLine.from_json(scripted.train_line(60)))
    assert "<progress value='60' max='300'> </progress>" in area.html.replace("></", "> </")
    assert "step 60 of 300" in area.text
    area.reporter.show_result(tmp_path, scripted.ended("interrupted"))
    assert "<progress" not in area.html
    assert "interrupted at step 300; a checkpoint was saved" in area.html
