"""From a template and values to one self-contained HTML page; plotly is imported when a page with plots is rendered."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"
"""The page's frame, its parts and its style, which the tools' own templates use."""


def render(directory: Path, template: str, **values: object) -> str:
    """A page from a template in ``directory``; every value is escaped unless it is marked safe there."""
    return (
        _templates(directory)
        .get_template(template)
        .render(
            **values,
            plotly_js=_plotly_js,
            version=version("mftkit"),
            now=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        )
    )


def _plotly_js() -> str:
    """The library that draws plots; templates without plots do not call it."""
    from plotly.offline import get_plotlyjs

    source: str = get_plotlyjs()
    return source


_SEPARATED = re.compile(r"(?<=\w_)(?=\w)|(?<=[^\W\d][/.:@=])(?=\w)")
"""After a separator within a name; browsers break after hyphens by themselves, and a number has none."""


@cache
def _templates(directory: Path) -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([directory, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = breakable
    return environment


def breakable(text: str) -> Markup:
    """Text whose names may be broken after their separators, and nowhere else.

    >>> breakable("a<b code-repair/of_x 2.31")
    Markup('a&lt;b code-repair/<wbr>of_<wbr>x 2.31')
    """
    from markupsafe import Markup, escape

    parts = _SEPARATED.split(text)
    return Markup("<wbr>").join(escape(part) for part in parts)
