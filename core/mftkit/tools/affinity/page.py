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
from mftkit.tools.affinity.page_subsets import subset_section

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mftkit.tools.affinity.intervals import Affinity, Pair

TEMPLATES = Path(__file__).parent / "templates"
NAMED = 4
"""Tasks or pairs that a sentence names; others are counted."""
READABLE = 10
"""A heat map of more tasks has no room for figures in its cells."""
LONGEST = 24
"""Characters of a name on an axis."""
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
        lead=f"Affinity of {len(affinity.tasks)} tasks",
        verdict=verdict(affinity),
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
        subsets=subset_section(affinity.subsets),
    )


def verdict(affinity: Affinity) -> list[str]:
    """Which tasks help and which fight, as far as the intervals exclude 0."""
    pairs = affinity.pairs
    fighting = [pair for pair in pairs if pair.verdict == "fight"]
    helping = [pair for pair in reversed(pairs) if pair.verdict == "help"]
    open_pairs = len(pairs) - len(fighting) - len(helping)
    noisy = [pair.first for pair in affinity.selves if pair.low <= 0]
    sentences = [
        f"Fighting, so that training one raises the loss of the other: {_listed(fighting)}."
        if fighting
        else "",
        f"Helping each other: {_listed(helping)}." if helping else "",
        f"Not distinguishable from 0: {whole(open_pairs)} of {whole(len(pairs))} pairs."
        if open_pairs
        else "",
        "The gradient differs so much between a task's own samples that nothing can be said about it: "
        f"{', '.join(noisy[:NAMED])}{f' and {len(noisy) - NAMED} more' if len(noisy) > NAMED else ''}; more --batches "
        "or --samples narrow the intervals."
        if noisy
        else "",
    ]
    return [sentence for sentence in sentences if sentence]


def _listed(pairs: Sequence[Pair]) -> str:
    shown = [f"{pair.first} and {pair.second} ({pair.cosine:+.3f})" for pair in pairs[:NAMED]]
    more = len(pairs) - NAMED
    return ", ".join(shown) + (f" and {whole(more)} more" if more > 0 else "")


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
        z=affinity.cosine.tolist(), x=numbers, y=numbers, text=texts,
        texttemplate="%{text}" if len(numbers) <= READABLE else "", customdata=_pair_names(affinity.tasks),
        colorscale="RdBu", zmin=-reach, zmax=reach, hovertemplate="%{customdata}<br>%{text}<extra></extra>",
        colorbar={"title": "cosine"},
    )  # fmt: skip
    names = [escape(_short(name), quote=False) for name in affinity.tasks]
    axis = {"tickvals": numbers, "ticktext": names, "automargin": True}
    figure = go.Figure(trace)
    figure.update_layout(
        template="none",
        xaxis=axis,
        yaxis={**axis, "autorange": "reversed"},
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
    )
    caption = "Blue: the tasks help each other. Red: they fight. White: neither. On a narrow page, scroll it sideways."
    cell, narrow = (60, 100) if len(names) <= READABLE else (22, 22)
    beside = 8 * max(map(len, names), default=0) + 100  # names and color bar
    return Plot(
        "heat-map",
        "Heat map",
        caption,
        script_safe(figure.to_json()),
        height=max(380, cell * len(names) + beside),
        width=narrow * len(names) + beside,
    )


def _short(name: str) -> str:
    """A name for an axis, without its middle; the whole name is in the table and under the pointer."""
    kept = LONGEST // 2
    return name if len(name) <= LONGEST else f"{name[:kept]}…{name[1 - kept :]}"


def _pair_names(tasks: Sequence[str]) -> list[list[str]]:
    return [[escape(f"{one}, {other}", quote=False) for other in tasks] for one in tasks]
