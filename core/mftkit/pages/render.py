"""From a template and values to one self-contained HTML page; plotly is imported when a page is rendered."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
"""The page's frame, its parts and its style, which the tools' own templates use."""


def render(directory: Path, template: str, **values: object) -> str:
    """A page from a template in ``directory``; every value is escaped unless it is marked safe there."""
    from plotly.offline import get_plotlyjs

    return (
        _templates(directory)
        .get_template(template)
        .render(
            **values,
            plotly_js=get_plotlyjs(),
            version=version("mftkit"),
            now=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        )
    )


@cache
def _templates(directory: Path) -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader([directory, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
