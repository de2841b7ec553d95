"""The table of model families, made from what the adapters say of themselves."""

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
    """A Markdown table, a row for each family of the adapters that a distribution brings."""
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
    formats = ", ".join(known.name for known in adapter.instruct_formats)
    return (
        family.name,
        f"`{family.native_class}`",
        f"`{name}`",
        family.compared_with,
        ", ".join(family.attentions),
        "yes" if family.router_loss else "",
        formats,
        family.note,
    )
