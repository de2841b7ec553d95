"""The page of ``mft data show SPEC --html``: one file that needs no network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mftkit.base.formatting import row_place, visible, whole
from mftkit.pages.colors import pen
from mftkit.pages.render import render
from mftkit.tools.data_show.descriptions import (
    describe_answers,
    describe_packed,
    describe_positions,
    describe_size,
    describe_title,
    describe_turns,
    describe_variants,
)
from mftkit.tools.data_show.lines import cells

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mftkit.tools.data_show.view import DataView, PackedRow, SampleView, ShownToken, TaskView

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class PageToken:
    """A token on the page."""

    text: str
    title: str
    """Its id and text."""
    classes: str


@dataclass(frozen=True)
class PageSample:
    """A sample on the page."""

    title: str
    facts: list[tuple[str, str]]
    tokens: list[PageToken]
    cut: str
    cut_text: str


@dataclass(frozen=True)
class PageTask:
    """A task on the page."""

    name: str
    facts: list[tuple[str, str]]
    reports: Sequence[str]
    samples: list[PageSample]


@dataclass(frozen=True)
class PageMember:
    """A sample of the packed row on the page."""

    name: str
    place: str
    positions: str
    percent: float
    color: str
    tokens: list[PageToken]


def page(view: DataView) -> str:
    """Return the HTML of the page."""
    facts = [("spec", view.spec), ("tokenizer", view.tokenizer), ("max_length", whole(view.max_length))]
    return render(
        TEMPLATES,
        "data_show.html.jinja",
        title=f"{view.name}: what the model reads",
        facts=facts,
        reports=view.reports,
        tasks=[_task(task, view.max_length) for task in view.tasks],
        tokenization=view.tokenization,
        packed="" if view.packed is None else describe_packed(view.packed, view),
        members=[] if view.packed is None else _members(view.packed, view),
    )


def _task(task: TaskView, max_length: int) -> PageTask:
    facts = [
        ("format", task.format),
        *([("chat format", task.chat)] if task.chat else []),
        ("data rows", whole(task.rows)),
        ("training samples", whole(task.train_samples)),
        ("validation samples", whole(task.valid_samples)),
        *describe_variants(task),
        *([("what ends answers", "; ".join(task.stops))] if task.stops else []),
    ]
    return PageTask(task.name, facts, task.reports, [_sample(sample, max_length) for sample in task.samples])


def _sample(sample: SampleView, max_length: int) -> PageSample:
    facts = [("size", describe_size(sample))]
    if sample.turns:
        facts.append(("turns", describe_turns(sample)))
    facts += [("answer" if sample.turns else "in the loss", text) for text in describe_answers(sample)]
    cut = f"✂ cut here: {whole(sample.cut)} tokens beyond max_length {whole(max_length)}"
    return PageSample(
        describe_title(sample),
        facts,
        page_tokens(sample.tokens),
        cut if sample.cut else "",
        visible(sample.cut_text),
    )


def page_tokens(tokens: Sequence[ShownToken]) -> list[PageToken]:
    """Return tokens for the page, with the same visible white space as in the terminal."""
    texts = [""] * len(tokens)
    for cell in cells(tokens):
        texts[cell.token] += cell.text + ("\n" if cell.ends_line else "")
    return [
        PageToken(
            text,
            f"{' '.join(map(str, token.ids))} {visible(token.text)}",
            " ".join(["t", *(["loss"] if token.in_loss else []), *(["added"] if token.added else [])]),
        )
        for token, text in zip(tokens, texts, strict=True)
    ]


def _members(row: PackedRow, view: DataView) -> list[PageMember]:
    names = list(dict.fromkeys(sample.task for sample in row.samples))
    return [
        PageMember(
            sample.task,
            row_place(sample.place),
            describe_positions(sample, row),
            100 * sample.length / view.max_length,
            pen(names.index(sample.task)).color,
            page_tokens(sample.tokens),
        )
        for sample in row.samples
    ]
