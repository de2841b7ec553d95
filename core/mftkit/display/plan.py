"""The plan of a run, shown before training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from mftkit.base.formatting import one_line, place, row_place, share, visible, whole
from mftkit.display.tables import NumericTable, as_text, facts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from mftkit.reporting.plan import FirstSample, Plan

INDENT = (0, 0, 0, 2)
OPTIONAL_COLUMNS = ("truncated", "dropped", "skipped")


def plan_text(plan: Plan, width: int | None = None) -> str:
    """The plan as plain text of at most ``width`` columns; None: as wide as needed."""
    return as_text(plan_view(plan), width)


def plan_view(plan: Plan) -> RenderableType:
    """The plan for a rich console."""
    parts: list[RenderableType] = [
        Text.assemble((one_line(plan.name), "bold"), "  in ", one_line(place(plan.output)), overflow="fold"),
        Text(),
        Padding(_tasks(plan), INDENT, expand=False),
        Text(),
        Padding(facts(_facts(plan)), INDENT, expand=False),
    ]
    if plan.first_samples:
        parts += [Text(), Padding(Text("first sample of each task; ⟦ ⟧: in the loss", style="bold"), INDENT)]
        parts += [Padding(_Brief(sample), INDENT) for sample in plan.first_samples]
    return Group(*parts)


@dataclass(frozen=True)
class _Brief:
    """A task's first sample: where it stands, and its text around the beginning of the answer, cut to the width."""

    sample: FirstSample

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Two lines."""
        del console
        sample = self.sample
        size = f"{whole(sample.tokens)} tokens, {whole(sample.loss_tokens)} in the loss"
        yield Text(f"{one_line(sample.task)}: {one_line(row_place(sample.place))}, {size}", overflow="fold")
        before, answer, stop = visible(sample.before), visible(sample.answer), visible(sample.stop)
        room = max(options.max_width - cell_len(f"  ⟦{stop}⟧"), 2)
        before = _fitting(before, max(room // 2, room - cell_len(answer)), from_end=True)
        answer = _fitting(answer, room - cell_len(before), from_end=False)
        yield Text.assemble(f"  {before}", (f"⟦{answer}{stop}⟧", "green"), overflow="fold")


def _fitting(text: str, room: int, *, from_end: bool) -> str:
    """The end or the beginning of a text in at most ``room`` columns, with an ellipsis where it is cut."""
    if cell_len(text) <= room:
        return text
    text = text.strip("…")
    if from_end:
        return "…" + set_cell_size(text[::-1], max(room - 1, 0))[::-1]
    return set_cell_size(text, max(room - 1, 0)) + "…"


def _tasks(plan: Plan) -> NumericTable:
    extra = [column for column in OPTIONAL_COLUMNS if any(getattr(task, column) for task in plan.tasks)]
    mixed = ["drawn"] if plan.mixing else []
    rows = [
        [
            task.name,
            whole(task.samples),
            *(whole(getattr(task, column)) for column in mixed),
            whole(task.tokens),
            share(task.share),
            whole(task.valid_samples),
            *(whole(getattr(task, column)) for column in extra),
        ]
        for task in plan.tasks
    ]
    sums = ["samples", *mixed, "tokens", "share", "valid_samples", *extra]
    total = [sum(getattr(task, column) for task in plan.tasks) for column in sums]
    footer = [
        "all",
        *(share(n) if column == "share" else whole(n) for column, n in zip(sums, total, strict=True)),
    ]
    headers = ["task", "samples", *mixed, "loss\ntokens", "share", "valid\nsamples", *extra]
    return NumericTable(headers, rows, footer if len(rows) > 1 else None)


def _facts(plan: Plan) -> Iterator[tuple[str, str]]:
    yield (
        "rows",
        f"{whole(plan.rows)} per epoch, up to {whole(plan.max_length)} tokens each, {share(plan.fill)} filled",
    )
    if plan.mixing:
        yield "mixing", plan.mixing
    yield "steps", f"{whole(plan.steps)} in total, {whole(plan.steps_per_epoch)} per epoch"
    yield "batch size", f"{whole(plan.batch_size)} rows per step"
    if plan.learning_rate is not None:
        source = f" ({plan.learning_rate_note})" if plan.learning_rate_note else ""
        yield "learning rate", f"{plan.learning_rate:g}{source}"
    trained = plan.trainable / plan.parameters if plan.parameters else 0.0
    yield (
        "parameters",
        f"{whole(plan.parameters)}, {whole(plan.trainable)} of them trained ({share(trained)})",
    )
    several = f", {plan.processes} processes" if plan.processes > 1 else ""
    yield "device", f"{plan.device}, {plan.dtype}{several}"
    if plan.memory:
        yield "memory", plan.memory
    yield from plan.components.items()
    for note in plan.notes:
        yield "note", note
