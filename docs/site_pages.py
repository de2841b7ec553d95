"""Hooks of mkdocs: the pages of the site that are made from the program, so that they cannot be out of date.

- ``plugin-catalogue.md``: every built-in component with its options;
- ``api.md``: every public name of ``mftkit``, for mkdocstrings;
- ``schema/spec.json``: the JSON Schema of a spec, at an address that stays.

On the other pages, a comment such as ``<!-- README.md: Try it -->`` stands for that section of the README, and links to
files that the site does not have become their paths in the repository.
"""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

import mftkit
from mftkit.plugins import installed
from mftkit.plugins.options import describe_options
from mftkit.spec.schema import json_schema

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
API_GROUPS = {
    "Specs, runs and results": (
        "mftkit.spec",
        "mftkit.tools",
        "mftkit.reporting",
        "mftkit.plugins",
        "mftkit.models.result",
    ),
    "Interfaces of components": ("mftkit.interfaces",),
    "Models": ("mftkit.models",),
    "Rows, texts and batches": ("mftkit.data", "mftkit.batches", "mftkit.base", "mftkit.chat_client"),
    "Errors and registration": ("mftkit_registry", "mftkit"),
}
"""Headings of the API page, to the modules whose public names stand under them; the first that fits counts."""
README_SECTION = re.compile(r"^<!-- README\.md: (.+) -->$", re.MULTILINE)
LINK = re.compile(r"(!?)\[([^\]]*)\]\((\.\./[^)#]*)(#[^)]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made here."""
    for path, content in (
        ("plugin-catalogue.md", catalogue()),
        ("api.md", api()),
        ("schema/spec.json", json.dumps(json_schema(_fail), indent=2)),
    ):
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Fill in sections of the README, and links that lead out of the site."""
    del page
    whole = README_SECTION.sub(lambda found: readme_section(found[1]), markdown)
    return LINK.sub(lambda found: f"{found[2]} (`{found[3].removeprefix('../')}` in the repository)", whole)


def readme_section(title: str) -> str:
    """Return the text under a heading of the README, its links as they are from docs/."""
    readme = (ROOT / "README.md").read_text("utf-8")
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", readme, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ValueError(f"README.md has no section {title!r}")
    return re.sub(r"\]\((?!https?:|#)(docs/)?", lambda link: "](" if link[1] else "](../", found[1].strip())


def catalogue() -> str:
    """Return the page of the built-in components: what each does, and its options with types, bounds and defaults."""
    registry = installed.registry()
    lines = [
        "# Plugin catalogue",
        "",
        "The components that come with mftkit. `mft plugins list` shows what is installed, with third-party packages;",
        "`mft plugins show KIND NAME` shows the options of one, as on this page.",
    ]
    for kind in registry.kinds:
        rows = [row for row in registry.plugins if row.kind == kind.name and row.distribution == "mftkit"]
        if rows:
            lines += ["", f"## {kind.name}", ""]
        for row in rows:
            lines += [f"### {row.name}", "", f"{row.summary}.{' The default.' if row.default else ''}", ""]
            component = installed.class_of(registry.get(kind, row.name))
            lines += [_prose(component), ""]
            lines += _options_table(describe_options(component.Options))
    return "\n".join(lines) + "\n"


def _prose(component: type) -> str:
    """Return a docstring as Markdown; its indented sections are the interface's business."""
    text = inspect.cleandoc(component.__dict__.get("__doc__") or "")
    return re.sub(r"``(.+?)``", r"`\1`", text.partition("\n\nArgs:")[0]).replace("<", "&lt;")


def _options_table(options: list[tuple[str, str, str, str]]) -> list[str]:
    if not options:
        return ["It has no options."]
    cells = ((f"`{key}`", kind, f"`{default}`", text) for key, kind, default, text in options)
    rows = [" | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in row) for row in cells]
    return [
        "| option | type | default | meaning |",
        "| --- | --- | --- | --- |",
        *(f"| {row} |" for row in rows),
    ]


def api() -> str:
    """Return the page of public names, each as mkdocstrings describes it from its docstring."""
    lines = ["# API", "", "`import mftkit` loads nothing heavy; each name is imported on first use.", ""]
    names = {name: mftkit._MODULE_OF[name] for name in mftkit.__all__ if name in mftkit._MODULE_OF}
    for title, modules in API_GROUPS.items():
        chosen = [
            name
            for name, module in names.items()
            if any(module == prefix or module.startswith(f"{prefix}.") for prefix in modules)
        ]
        lines += [f"## {title}", ""]
        for name in chosen:
            lines += [f"::: {names.pop(name)}.{name}", ""]
    if names:
        raise ValueError(f"no group of the API page has {', '.join(names)}")
    return "\n".join(lines)


def _fail(message: str) -> None:
    raise ValueError(f"the schema is incomplete: {message}")
