"""affinity.html: the heat map and the pairs of tasks, in one file that needs no network."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mftkit.base.formatting import whole
from mftkit.pages.figures import Plot, script_safe
from mftkit.pages.render import render
from mftkit.pages.tables import Cell, Table
from mftkit.tools.affinity.intervals import CONFIDENCE

if TYPE_CHECKING:
    from mftkit.tools.affinity.intervals import Affinity

TEMPLATES = Path(__file__).parent / "templates"
READING = (
    f"In brackets: {CONFIDENCE:.0%} bootstrap intervals over batches. The diagonal compares a task with itself, over "
    "other samples: it shows how much of a cosine noise leaves."
)


def page(affinity: Affinity) -> str:
    """The HTML of the page."""
    settings = affinity.settings
    return render(
        TEMPLATES,
        "affinity.html.jinja",
        title=f"{settings.name}: task affinity",
        lead=f"{len(affinity.tasks)} tasks",
        facts=[
            ("loss", settings.loss),
            ("model", settings.state),
            ("gradients of", f"{settings.parameters}, {whole(settings.numbers)} numbers"),
            (
                "batches",
                f"{settings.batches} of two halves, {settings.samples} samples of each task per half",
            ),
            ("seed", str(settings.seed)),
        ],
        reading=READING,
        heat_map=heat_map(affinity),
        pairs=pairs_table(affinity),
    )


def pairs_table(affinity: Affinity) -> Table:
    """All pairs, from those that fight most to those that help most."""
    rows = [
        (
            f"{pair.first}, {pair.second}",
            [Cell(f"{pair.cosine:+.3f}"), Cell(f"{pair.low:+.3f} to {pair.high:+.3f}"), Cell(pair.verdict)],
        )
        for pair in affinity.pairs
    ]
    return Table("Pairs of tasks", ["tasks", "cosine", f"{CONFIDENCE:.0%} interval", "verdict"], rows)


def heat_map(affinity: Affinity) -> Plot:
    """The cosines of all tasks with all."""
    import plotly.graph_objects as go

    tables = (affinity.cosine, affinity.low, affinity.high)
    texts = [
        [f"{c:+.2f}<br>[{low:+.2f}, {high:+.2f}]" for c, low, high in zip(*rows, strict=True)]
        for rows in zip(*tables, strict=True)
    ]
    between = affinity.cosine[~np.eye(len(affinity.tasks), dtype=bool)]
    reach = max(0.05, float(np.abs(between).max()))
    numbers = list(range(len(affinity.tasks)))  # by index: plotly merges categories whose names are equal
    trace = go.Heatmap(
        z=affinity.cosine.tolist(), x=numbers, y=numbers, text=texts, texttemplate="%{text}",
        colorscale="RdBu", zmin=-reach, zmax=reach, hoverinfo="text", colorbar={"title": "cosine"},
    )  # fmt: skip
    names = [escape(name, quote=False) for name in affinity.tasks]
    axis = {"tickvals": numbers, "ticktext": names, "automargin": True}
    figure = go.Figure(trace)
    figure.update_layout(
        template="none",
        xaxis=axis,
        yaxis={**axis, "autorange": "reversed"},
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
    )
    caption = "Blue: the tasks help each other. Red: they fight."
    height = max(420, 110 * len(names))
    return Plot("heat-map", "Heat map", caption, script_safe(figure.to_json()), height)
