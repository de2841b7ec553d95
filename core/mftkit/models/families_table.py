"""The table of model families in the documentation, generated from the adapters' ``families``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.plugins import installed
from mftkit.plugins.kinds import MODEL_ADAPTER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mftkit.interfaces.family import Family
    from mftkit.interfaces.model import ModelAdapter

HEADINGS = (
    "family",
    "class in transformers",
    "adapter",
    "logits compared with",
    "samples apart under",
    "router's loss",
    "chat formats known",
    "note",
)


def families_table(distribution: str) -> str:
    """Return a Markdown table with one row per family of the adapters in a distribution."""
    lines = [HEADINGS, tuple("---" for _ in HEADINGS), *_rows(distribution)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _rows(distribution: str) -> Iterator[tuple[str, ...]]:
    for row in installed.registry().plugins:
        if row.kind != MODEL_ADAPTER.name or row.distribution != distribution or not row.name:
            continue
        adapter = installed.build(MODEL_ADAPTER, row.name, {})
        for family in adapter.families:
            yield _cells(row.name, adapter, family)


def _cells(name: str, adapter: ModelAdapter, family: Family) -> tuple[str, ...]:
    formats = ", ".join(each.name for each in adapter.instruct_formats)
    return (
        family.name,
        f"`{family.native_class}`",
        f"`{name}`",
        family.compared_with,
        ", ".join(family.attentions) or f"never: {family.leaks}",
        "yes" if family.router_loss else "",
        formats,
        family.note,
    )
