from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mftkit.display import plan_text

if TYPE_CHECKING:
    from types import ModuleType

FIGURES = [
    "51,234",
    "50.9%",
    "7,206",
    "811",
    "100,571",
    "1,234",
    "96.3%",
    "512",
    "300",
    "155",
    "16",
    "1,234,567",
]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_nothing_is_lost_and_nothing_sticks_out(scripted: ModuleType, width: int) -> None:
    text = plan_text(scripted.plan(Path("runs/four-tasks")), width)
    assert max(len(line) for line in text.split("\n")) <= width
    assert all(figure in text for figure in FIGURES)
    assert "…" not in text
    assert "..." not in text
    assert "\x1b" not in text
    joined = "".join(text.split())
    for part in [
        "some-loss(mftkit0.1.0)",
        "some-balancer(mftkit-other2.3.4)",
        "writtenwiththemarkersofthespec",
    ]:
        assert part in joined


@pytest.mark.parametrize("width", [24, 40, 60, 80])
def test_long_names_are_whole_at_any_width(scripted: ModuleType, width: int) -> None:
    plan = scripted.plan(Path("runs/x"))
    name = "a-task-" + "with-a-very-long-name-" * 3
    text = plan_text(replace(plan, tasks=(replace(plan.tasks[0], name=name, dropped=5, skipped=7),)), width)
    letters = list("".join(text.split()))
    assert max(len(line) for line in text.split("\n")) <= width
    assert "…" not in text
    for c in set(name):
        assert letters.count(c) >= name.count(c)


def test_at_80_columns_the_tasks_are_a_table(scripted: ModuleType) -> None:
    rows = plan_text(scripted.plan(Path("runs/x")), 80).split("\n")
    assert any(row.split() == ["code-comment", "120", "7,206", "7.2%", "6", "0"] for row in rows)


def test_columns_without_a_count_are_left_out(scripted: ModuleType) -> None:
    text = plan_text(scripted.plan(Path("runs/x")))
    assert "truncated" in text
    assert "dropped" not in text
    assert "skipped" not in text


def test_mixing_has_a_column_and_a_line(scripted: ModuleType) -> None:
    plan = scripted.plan(Path("runs/x"))
    tasks = (replace(plan.tasks[0], drawn=731), *(replace(task, drawn=20) for task in plan.tasks[1:]))
    text = plan_text(replace(plan, tasks=tasks, mixing="temperature 2, by samples"))
    rows = [line.split() for line in text.split("\n")]
    assert ["code-completion", "400", "731", "51,234", "50.9%", "20", "17"] in rows
    assert ["mixing", "temperature", "2,", "by", "samples"] in rows
    assert "drawn" not in plan_text(plan)


def test_without_a_width_no_line_is_broken(scripted: ModuleType) -> None:
    note = "word " * 60
    assert note.strip() in plan_text(scripted.plan(Path("runs/x"), notes=(note.strip(),)))


def test_foreign_text_cannot_steer_the_terminal(scripted: ModuleType) -> None:
    text = plan_text(scripted.plan(Path("runs/x"), name="a\x1b[31m[bold]b", notes=("[/red] \x07",)))
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[bold]b" in text
    assert "[/red]" in text


def test_the_display_is_light() -> None:
    code = "import sys, mftkit.display; sys.exit(bool({'torch', 'transformers', 'rich'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
