"""The page of the experiment: paper.md, paper.html and the curves beside them."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from curves import curves, draw
from measured_tables import metric_tables, paired_table
from results import Results, Table, short, tables

if TYPE_CHECKING:
    from pathlib import Path

    from sizes import Size

SHOWN = ("single", "mixed", "token-balanced", "famo")
"""The arms whose curves are drawn."""
STYLE = (
    ":root{color-scheme:light dark}body{font-family:sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse}td,th{padding:.2rem .6rem;border-bottom:1px solid #8888;text-align:right}"
    "td:first-child,th:first-child{text-align:left}div{overflow-x:auto}svg{max-width:100%}"
)


def write_page(output: Path, size: Size) -> None:
    """Write paper.md, paper.html and curves.svg to the output, from what is there."""
    results = Results.read(output)
    arms = tuple(arm for arm in SHOWN if arm in {short(each) for each in results.arms})
    svg = draw(curves(results, arms), arms)
    title = f"The MFTCoder experiment, size {size.name}"
    seeds = results.comparison["seeds"]
    lines = [
        f"{len(seeds)} of {size.seeds} seeds; {len(results.arms)} arms.",
        str(results.comparison["noise"]["told"]),
    ]
    found = [*tables(results), *metric_tables(results), *paired_table(results)]
    (output / "curves.svg").write_text(svg, encoding="utf-8")
    (output / "paper.md").write_text(_markdown(title, lines, found, size), encoding="utf-8")
    (output / "paper.html").write_text(_html(title, lines, found, size, svg), encoding="utf-8")


def _markdown(title: str, lines: list[str], found: list[Table], size: Size) -> str:
    parts = [f"# {title}", *lines]
    for table in found:
        rows = [table.head, [":--", *("--:" for _ in table.head[1:])], *table.rows]
        parts += [f"## {table.title}", "\n".join(f"| {' | '.join(row)} |" for row in rows), table.note]
    parts += ["## Training curves: validation loss by epoch", "![Validation loss by epoch](curves.svg)"]
    parts += ["## What was cut at this size", "\n".join(f"- {text}" for text in size.cut)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _html(title: str, lines: list[str], found: list[Table], size: Size, svg: str) -> str:
    parts = [f"<h1>{escape(title)}</h1>", *(f"<p>{escape(line)}</p>" for line in lines)]
    for table in found:
        head = "".join(f"<th>{escape(cell)}</th>" for cell in table.head)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows
        )
        parts.append(f"<h2>{escape(table.title)}</h2><div><table><tr>{head}</tr>{body}</table></div>")
        parts.append(f"<p>{escape(table.note)}</p>")
    cut = "".join(f"<li>{escape(text)}</li>" for text in size.cut)
    parts += [
        "<h2>Training curves: validation loss by epoch</h2>",
        svg,
        f"<h2>What was cut at this size</h2><ul>{cut}</ul>",
    ]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'
