"""Terminal output of ``mft data show SPEC``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from mftkit.base.formatting import one_line, row_place, visible, whole
from mftkit.display.tables import facts
from mftkit.tools.data_show.descriptions import (
    describe_answers,
    describe_packed,
    describe_positions,
    describe_size,
    describe_title,
    describe_turns,
    describe_variants,
)
from mftkit.tools.data_show.lines import ADDED, BORDER, IN_LOSS, TokenLines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from mftkit.tools.data_show.view import DataView, PackedRow, PackedSample, SampleView, TaskView

_EDGE = 30
"""Characters of a packed sample's beginning and end."""
_SHOWN = 10
"""Samples of a packed row that are listed."""
INDENT = (0, 0, 0, 2)


def terminal_view(view: DataView) -> RenderableType:
    """Return the view for a rich console."""
    pairs = [
        ("spec", view.spec),
        ("tokenizer", view.tokenizer),
        ("max_length", whole(view.max_length)),
        *(("report", report) for report in view.reports),
    ]
    parts: list[RenderableType] = [Text(one_line(view.name), style="bold"), facts(pairs), _Legend(), Text()]
    for task in view.tasks:
        parts += _task(task, view.max_length)
    parts += _packed(view)
    return Group(*parts)


class _Legend:
    """What the marks mean, with colors or without."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """One or two lines."""
        del options
        if console.no_color or console.color_system is None:
            yield Text("▌ and ⟦ ⟧: in the loss", overflow="fold")
        else:
            yield Text.assemble(
                "▌ and ", ("this color", IN_LOSS), ": in the loss; ", ("this", ADDED), ": added tokens"
            )
        yield Text(
            "⏎ line break, ⇥ tab, ␣ space at a border; \\ before a control token's text that is plain text",
            overflow="fold",
        )  # fmt: skip


def _task(task: TaskView, max_length: int) -> Iterator[RenderableType]:
    yield Text(f"task {one_line(task.name)}", style="bold", overflow="fold")
    held_out = f", {whole(task.valid_samples)} for validation" if task.valid_samples else ""
    pairs = [
        ("format", task.format),
        *([("chat format", task.chat)] if task.chat else []),
        ("samples", f"{whole(task.train_samples)} for training{held_out}, from {whole(task.rows)} rows"),
        *describe_variants(task),
        *(("stops", stop) for stop in task.stops),
        *(("report", report) for report in task.reports),
    ]
    yield Padding(facts(pairs), INDENT, expand=False)
    yield Text()
    for sample in task.samples:
        yield from _sample(sample, max_length)


def _sample(sample: SampleView, max_length: int) -> Iterator[RenderableType]:
    yield Text(f"--- {one_line(describe_title(sample))}", style="bold", overflow="fold")
    pairs = [("size", describe_size(sample))]
    if sample.turns:
        pairs.append(("turns", describe_turns(sample)))
    pairs += [("answer" if sample.turns else "in the loss", text) for text in describe_answers(sample)]
    yield Padding(facts(pairs), INDENT, expand=False)
    yield TokenLines(sample.tokens)
    if sample.cut:
        text = f"✂ cut here: {whole(sample.cut)} tokens beyond max_length {whole(max_length)}: "
        rest = "…" if sample.cut_text else ""
        yield Text.assemble((text, BORDER), (visible(sample.cut_text) + rest, "dim"), overflow="fold")
    yield Text()


def _packed(view: DataView) -> Iterator[RenderableType]:
    row = view.packed
    if row is None:
        yield Text(f"tokenization {view.tokenization}: each row holds one sample")
        return
    yield Text(describe_packed(row, view), style="bold", overflow="fold")
    for number, sample in enumerate(row.samples[:_SHOWN]):
        yield from _packed_sample(number, sample, row)
    if len(row.samples) > _SHOWN:
        yield Text(f"  … and {len(row.samples) - _SHOWN} more samples (--html shows all)", overflow="fold")
    if row.length < view.max_length:
        yield Text(f"  {whole(view.max_length - row.length)} positions left", overflow="fold")


def _packed_sample(number: int, sample: PackedSample, row: PackedRow) -> Iterator[RenderableType]:
    place = one_line(f"{number + 1} {sample.task}, {row_place(sample.place)}")
    yield Text(f"  ┆ {place}: {describe_positions(sample, row)}", style=BORDER, overflow="fold")
    yield _Ends(sample)


@dataclass(frozen=True)
class _Ends:
    """The beginning and the end of a sample in one line each."""

    sample: PackedSample

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The two ends, cut to the width."""
        del console
        text = visible("".join(token.text for token in self.sample.tokens))
        edge = min(_EDGE, max(8, (options.max_width - 8) // 2))
        shown = text if len(text) <= 2 * edge + 3 else f"{text[:edge]} … {text[-edge:]}"
        yield Text(f"    {shown}", overflow="ellipsis", no_wrap=True)
