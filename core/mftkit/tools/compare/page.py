"""compare.html: the page of a comparison."""

from __future__ import annotations

from pathlib import Path

from mftkit.base.atomic_files import write_text
from mftkit.pages.render import render
from mftkit.tools.compare.page_views import comparison_values

COMPARISON_REPORT = "compare.html"
TEMPLATES = Path(__file__).parent / "templates"


def report_comparison(path: Path, output: Path | None = None) -> Path:
    """Write the page of a comparison, by default into its directory. Raises MftError if compare.json is damaged."""
    target = output or path / COMPARISON_REPORT
    write_text(
        target,
        render(TEMPLATES, "comparison.html.jinja", **comparison_values(path, target.absolute().parent)),
    )
    return target
