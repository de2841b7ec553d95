"""Small tables for notebooks."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from mftkit.base.formatting import nats, one_line, place, whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from mftkit.reporting.outcome import Outcome
    from mftkit.runs.series import Losses


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> str:
    """A table of texts; the first column is left-aligned, the others are numbers."""
    head = "".join(_cell("th", heading, i) for i, heading in enumerate(headings))
    body = "".join(f"<tr>{''.join(_cell('td', cell, i) for i, cell in enumerate(row))}</tr>" for row in rows)
    title = f"<caption style='text-align:left'>{escape(caption)}</caption>" if caption else ""
    return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def losses_table(name: str, outcome: Outcome, losses: Sequence[Losses], where: Path) -> str:
    """A run's validation losses, and where its files are."""
    rows = [[one.name, nats(one.first), nats(one.best), whole(one.step), nats(one.last)] for one in losses]
    error = f"<p>{escape(one_line(outcome.error))}</p>" if outcome.error else ""
    shown = (
        table(["validation loss", "first", "best", "at step", "last"], rows)
        if rows
        else "<p>no validation</p>"
    )
    return (
        f"<p><b>{escape(one_line(name))}</b>: {escape(outcome.reason)} at step {whole(outcome.step)}</p>{error}{shown}"
        f"<p><code>{escape(place(where))}</code></p>"
    )


def _cell(tag: str, text: str, column: int) -> str:
    align = "right" if column else "left"
    return f"<{tag} style='text-align:{align}'>{escape(one_line(text))}</{tag}>"
