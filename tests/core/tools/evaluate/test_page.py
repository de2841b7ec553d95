"""The page of an evaluation in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest

import browser
from mftkit.pages.render import render
from mftkit.pages.tables import Cell, Table
from mftkit.tools.evaluate.page import TEMPLATES

pytestmark = pytest.mark.skipif(browser.found() is None, reason="no Chromium on this machine")


def test_a_table_that_is_wider_than_the_page_scrolls_alone(tmp_path: Path) -> None:
    """A mark for screen readers in its last column does not widen the page."""
    cells = [Cell("0.1234 ±0.0123", best=True)] * 40
    table = Table("wide", ["task", *(f"arm {number}" for number in range(40))], [("a", cells)])
    page = tmp_path / "page.html"
    page.write_text(
        render(TEMPLATES, "evaluation.html.jinja", title="t", lead="", notices=[], metrics=table, tasks=[])
    )
    look = """
const scroll = document.querySelector('.scroll');
return [scroll.scrollWidth > scroll.clientWidth, document.documentElement.scrollWidth - innerWidth];
"""
    scrolls, page_is_wider = browser.read_back(page, look, "--window-size=900,700")
    assert scrolls
    assert page_is_wider <= 0
