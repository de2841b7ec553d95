"""The result of a search in a terminal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from mftkit.base.formatting import one_line, place
from mftkit.display.plan import INDENT
from mftkit.display.tables import NumericTable
from mftkit.tools.mix_search import texts

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType

    from mftkit.tools.mix_search.result import SearchResult


def search_view(result: SearchResult, path: Path) -> RenderableType:
    """The table, what was found, what it does not say, and the section for a spec."""
    rows = [[row.name, *row.cells] for row in (*texts.share_rows(result), *texts.value_rows(result))]
    table = NumericTable(["", *texts.headings(result)], rows)
    lines = [*texts.sentences(result), *texts.CAVEATS]
    section = json.dumps({"mixing": result.mixing}, ensure_ascii=False)
    return Group(
        Text(one_line(texts.title(result)), style="bold", overflow="fold"),
        Text(),
        Padding(table, INDENT, expand=False),
        Text(),
        *_verified(result),
        *(Text(one_line(line), overflow="fold") for line in lines),
        Text(),
        Text(one_line(f"For a spec: {section}"), overflow="fold"),
        Text(
            one_line(f"mix.json, mix.html, proportions.json and candidates.jsonl: {place(path)}"),
            overflow="fold",
        ),
    )


def _verified(result: SearchResult) -> list[RenderableType]:
    rows = [[row.name, *row.cells] for row in texts.verified_rows(result)]
    if not rows:
        return []
    table = NumericTable(["trained with", *texts.verified_headings(result)], rows)
    heading = f"trained: {texts.mean_name(result)} predicted by merging and measured, and measured by task"
    return [
        Text(heading, style="bold", overflow="fold"),
        Text(),
        Padding(table, INDENT, expand=False),
        Text(),
    ]
