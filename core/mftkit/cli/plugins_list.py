"""The table of ``mft plugins list``; it needs no typer, so that it can be printed without reading the command line."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from mftkit.cli.console import json_result, show_message, table

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit_registry import PluginRecord


def print_plugins(kind: str | None = None, spec: Path | None = None, *, as_json: bool = False) -> None:
    """Print a row for each component, each plugin's callbacks, and each plugin that is not loaded.

    Raises MftError for an unknown kind, or a spec whose plugins cannot be read.
    """
    from mftkit.plugins.process_registry import registry

    select_plugins_of(spec)
    rows = registry().plugins
    if kind is not None:
        kind_name = registry().kind(kind).name
        hidden = [row.name for row in rows if row.status in ("blocked", "error")]
        if hidden:
            show_message(
                f"note: not loaded, so their kind is unknown: {', '.join(hidden)}; see mft plugins list"
            )
        rows = [row for row in rows if row.kind == kind_name or _listens(row.kind, kind_name)]
    order = {known.name: number for number, known in enumerate(registry().kinds)}
    rows = sorted(rows, key=lambda row: order.get(row.kind, len(order)))
    if as_json:
        json_result([asdict(row) for row in rows])
    else:
        table(
            ("kind", "name", "summary", "distribution", "version", "status", "error"),
            [_cells(row) for row in rows],
        )


def select_plugins_of(spec: Path | None) -> None:
    """Use the plugins that a spec names by their files."""
    if spec is not None:
        from mftkit.spec.local_plugins import select_plugins_of_file

        select_plugins_of_file(spec)


def _listens(row_kind: str, kind: str) -> bool:
    """Whether the row is that of a plugin with hooks for the events of a run, which callbacks are called for, too."""
    return row_kind == "callbacks" and kind == "callback"


def _cells(row: PluginRecord) -> tuple[str, ...]:
    name = f"{row.name} (default)" if row.default else row.name
    return row.kind, name, row.summary, row.distribution, row.version, row.status, row.error or ""
