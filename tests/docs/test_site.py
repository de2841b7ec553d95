"""The pages of the site that are made from the program; ``mkdocs build`` in .ci/run checks that the whole site builds."""

from __future__ import annotations

import json
import runpy
from typing import Any

import pytest

import mftkit
from documents import ROOT
from mftkit.plugins import installed

pytest.importorskip("mkdocs")


@pytest.fixture(scope="module")
def hooks() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "docs" / "site_pages.py"))


def test_the_catalogue_has_every_built_in_component_with_its_options(hooks: dict[str, Any]) -> None:
    page = hooks["catalogue"]()
    rows = [row for row in installed.registry().plugins if row.distribution == "mftkit"]
    for row in rows:
        if row.kind == "callbacks":
            continue
        section = page.split(f"## {row.kind}\n")[1].split(f"### {row.name}\n")[1].split("\n### ")[0]
        assert row.summary in section
        kind: Any = installed.registry().kind(row.kind)
        for option in installed.class_of(installed.registry().get(kind, row.name)).Options.model_fields:
            assert f"`{option}" in section, option


def test_the_api_page_has_every_public_name(hooks: dict[str, Any]) -> None:
    page = hooks["api"]()
    for name in mftkit.__all__:
        assert name == "__version__" or f".{name}\n" in page


def test_sections_of_the_readme_lead_to_pages_of_the_site(hooks: dict[str, Any]) -> None:
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    shown = hooks["on_page_markdown"](index, None)
    assert "<!-- README.md" not in shown
    assert "](docs/" not in shown
    assert "mft run examples/quickstart.json" in shown


def test_the_schema_of_the_site_is_that_of_the_command(
    hooks: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    from mftkit.cli import main

    assert main(["spec", "schema"]) == 0
    assert json.loads(capsys.readouterr().out) == hooks["json_schema"](hooks["_fail"])
