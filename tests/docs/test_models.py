"""The table of families is what the adapters say, and its spec keys are real."""

from __future__ import annotations

import runpy
from pathlib import Path

from mftkit.plugins import installed, kinds
from mftkit.testing.isolation import isolation_table

PAGE = Path(__file__).parents[2] / "docs" / "models.md"


def test_the_table_is_as_the_adapters_give_it() -> None:
    page = PAGE.read_text("utf-8")
    assert runpy.run_path(str(PAGE.with_suffix(".py")))["written"](page) == page, "run: python docs/models.py"


def test_the_table_of_isolation_is_what_tiny_models_show() -> None:
    page = PAGE.read_text("utf-8")
    for row in isolation_table(["llama", "qwen3_next", "gpt_oss"]).splitlines()[2:]:
        assert f"{row}\n" in page, "run: python docs/models.py --isolation"


def test_every_built_in_adapter_but_the_fallback_has_a_row() -> None:
    page = PAGE.read_text("utf-8")
    adapters = [
        row.name for row in installed.registry().plugins
        if row.kind == "model-adapter" and row.distribution == "mftkit"
    ]  # fmt: skip
    assert [name for name in adapters if f"| `{name}` |" not in page] == ["huggingface"]


def test_the_documented_option_is_one() -> None:
    assert installed.build(kinds.MODEL_ADAPTER, "qwen", {"router_loss": 0}).options.router_loss == 0
