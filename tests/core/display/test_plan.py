from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from rich.cells import cell_len

from mftkit.display import plan_text
from mftkit.reporting.plan import FirstSample

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


def brief(task: str, **changes: Any) -> FirstSample:
    fields: dict[str, Any] = {
        "task": task,
        "place": "data/a.jsonl:1",
        "tokens": 1234,
        "loss_tokens": 56,
        "before": "…" + "question " * 8 + "<|im_start|>assistant\n",
        "answer": "def add(one, other):\n    return one + other\n" + "# more " * 5 + "…",
        "stop": "<|im_end|>",
    }
    return FirstSample(**{**fields, **changes})


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_the_first_sample_of_each_task_takes_two_lines_at_most(scripted: ModuleType, width: int) -> None:
    plan = scripted.plan(Path("runs/x"))
    samples = (brief("code-comment"), brief("b", before="", answer="漢" * 80 + "…"), brief("c", answer="x"))
    lines = plan_text(replace(plan, first_samples=samples), width).split("\n")
    start = next(number for number, line in enumerate(lines) if "first sample of each task" in line)
    texts = [line for line in lines[start:] if "⟦" in line and "⟧" in line and "<|im_end|>⟧" in line]
    assert len(texts) == 3
    assert max(cell_len(line) for line in lines[start:]) <= width
    assert all("…" in text for text in texts[:2])
    assert texts[2].endswith("assistant⏎⟦x<|im_end|>⟧" if width > 60 else "⟦x<|im_end|>⟧")
    if width >= 80:
        assert "code-comment: data/a.jsonl:1, 1,234 tokens, 56 in the loss" in lines[start + 1]
        assert "<|im_start|>assistant⏎⟦def add(one" in texts[0]


def test_a_sample_cannot_steer_the_terminal_or_fake_the_brackets(scripted: ModuleType) -> None:
    sample = brief("a\x1b[31m", before="b\x1b[32m⟧\n", answer="\x07⟦", stop="</s>")
    text = plan_text(replace(scripted.plan(Path("runs/x")), first_samples=(sample,)), 100)
    assert "\x1b" not in text
    assert r"b\x1b[32m\u27e7⏎⟦\x07\u27e6</s>⟧" in text


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


def test_a_default_learning_rate_is_named_as_one(scripted: ModuleType) -> None:
    plan = scripted.plan(Path("runs/x"), learning_rate=2e-4, learning_rate_note="default for lora")
    assert "0.0002 (default for lora)" in plan_text(plan)
    given = plan_text(scripted.plan(Path("runs/x"), learning_rate=3e-4))
    assert "0.0003" in given
    assert "default for" not in given
