"""affinity.html: the heat map and what it says, in one file that needs no network."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from mftkit.tools.affinity.intervals import CONFIDENCE

if TYPE_CHECKING:
    from mftkit.tools.affinity.intervals import Affinity, Pair

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem .2rem 0; text-align: left; }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
"""


def page(affinity: Affinity) -> str:
    """The whole file."""
    settings = affinity.settings
    told = (
        f"{settings['batches']} batches of two halves, {settings['samples']} samples of each task in a half; loss "
        f"{settings['loss']}; model {settings['state']}; {settings['parameters']}, {settings['numbers']:,} numbers; "
        f"seed {settings['seed']}. In brackets: {CONFIDENCE:.0%} bootstrap intervals over batches. On the diagonal: a "
        "task with itself, over other samples, which is how far noise lets a cosine go."
    )
    name = escape(settings["name"])
    return (
        f"<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'><title>{name}: task affinity</title>"
        f"<meta name='viewport' content='width=device-width, initial-scale=1'><style>{STYLE}</style></head>"
        f"<body><h1>{name}: task affinity</h1><p>{escape(told)}</p>{heat_map(affinity)}"
        f"<table><tr><th>tasks</th><th></th><th>cosine</th><th>interval</th><th></th></tr>"
        f"{''.join(map(_row, affinity.pairs))}</table></body></html>\n"
    )


def _row(pair: Pair) -> str:
    return (
        f"<tr><td>{escape(pair.first)}</td><td>{escape(pair.second)}</td><td class='n'>{pair.cosine:+.3f}</td>"
        f"<td class='n'>{pair.low:+.3f} to {pair.high:+.3f}</td><td>{pair.verdict}</td></tr>"
    )


def heat_map(affinity: Affinity) -> str:
    """The heat map, with plotly's code in it."""
    import plotly.graph_objects as go

    tables = (affinity.cosine, affinity.low, affinity.high)
    texts = [
        [f"{c:+.2f}<br>[{low:+.2f}, {high:+.2f}]" for c, low, high in zip(*rows, strict=True)]
        for rows in zip(*tables, strict=True)
    ]
    apart = affinity.cosine[~np.eye(len(affinity.tasks), dtype=bool)]
    reach = max(0.05, float(np.abs(apart).max()))
    numbers = list(range(len(affinity.tasks)))  # by place: two names may look alike to plotly
    names = [escape(name) for name in affinity.tasks]
    drawn = go.Heatmap(
        z=affinity.cosine.tolist(), x=numbers, y=numbers, text=texts, texttemplate="%{text}",
        colorscale="RdBu", zmin=-reach, zmax=reach, hoverinfo="text", colorbar={"title": "cosine"},
    )  # fmt: skip
    axis = {"tickvals": numbers, "ticktext": names, "automargin": True}
    side = max(420, 110 * len(names))
    figure = go.Figure(drawn)
    figure.update_layout(
        xaxis=axis,
        yaxis={**axis, "autorange": "reversed"},
        height=side,
        margin={"t": 20, "r": 20},
        paper_bgcolor="rgba(0, 0, 0, 0)",  # the page's own colour, which is dark where the reader's is
        font={"color": "#7d7d7d"},
    )
    html: str = figure.to_html(full_html=False, include_plotlyjs=True, config={"responsive": True})
    return html
