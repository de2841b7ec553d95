"""mix.html: the candidates of a search, in one file that needs no network."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from mftkit.base.atomic_files import write_text
from mftkit.pages.figures import Plot, script_safe
from mftkit.pages.render import render
from mftkit.pages.tables import Cell, Table
from mftkit.tools.mix_search import texts
from mftkit.tools.mix_search.directory import PAGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mftkit.reporting.reporter import Reporter
    from mftkit.tools.mix_search.result import SearchResult

TEMPLATES = Path(__file__).parent / "templates"


def write_page(directory: Path, result: SearchResult, reporter: Reporter) -> None:
    """Write the page; warn of one that cannot be written."""
    try:
        write_text(directory / PAGE, page(result))
    except Exception as error:
        reporter.warn(f"could not write {PAGE}: {type(error).__name__}: {error}")


def page(result: SearchResult) -> str:
    """The HTML of the page."""
    verified = texts.verified_rows(result)
    return render(
        TEMPLATES,
        "mix.html.jinja",
        title=f"{result.name}: proportions of the tasks",
        lead=f"{len(result.candidates)} candidates of proportions",
        verdict=texts.sentences(result),
        caveats=" ".join(texts.CAVEATS),
        section=json.dumps({"mixing": result.mixing}, ensure_ascii=False, indent=2),
        table=_table(
            texts.title(result), texts.headings(result), texts.share_rows(result), texts.value_rows(result)
        ),
        verified=_table("Trained with these proportions", texts.verified_headings(result), verified, ())
        if verified
        else None,
        candidates=scatter(result),
    )


def _table(caption: str, headings: Sequence[str], *parts: Sequence[texts.Row]) -> Table:
    rows = [(row.name, [Cell(cell) for cell in row.cells]) for part in parts for row in part]
    return Table(caption, ["", *headings], rows, footer=1 if parts[-1] else 0)


def scatter(result: SearchResult) -> Plot:
    """The value of each candidate over the share of each task."""
    import plotly.graph_objects as go

    values = [result.value(each) for each in result.candidates]
    figure = go.Figure(
        [
            go.Scatter(
                x=[each.shares[index] for each in result.candidates],
                y=values,
                mode="markers",
                name=escape(task, quote=False),
                hovertemplate="share %{x:.3f}: %{y:.4f}<extra></extra>",
            )
            for index, task in enumerate(result.tasks)
        ]
    )
    figure.update_layout(
        template="none",
        xaxis={"title": "share", "range": [-0.02, 1.02], "automargin": True},
        yaxis={"title": texts.mean_name(result), "automargin": True},
        legend={"orientation": "h", "y": 1.1},
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
    )
    caption = f"Each candidate has a point of each task. {texts.mean_name(result).capitalize()}, over the task's share."
    return Plot("candidates", "Candidates", caption, script_safe(figure.to_json()))
