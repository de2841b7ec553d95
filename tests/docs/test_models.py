"""The table of families is what the adapters say, and its spec keys are real."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import transformers
from packaging.version import Version
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

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


def test_the_table_of_isolation_accounts_for_every_model_type() -> None:
    listed = (
        PAGE.read_text("utf-8").partition("<!-- isolation -->")[2].partition("<!-- end of isolation -->")[0]
    )
    table, _, left_out = listed.partition("\nLeft out: ")
    rows = re.findall(r"^\| `(\S+)` \|", table, re.M)
    types = set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    if Version(transformers.__version__).release[:2] == (5, 23):  # of which the page speaks
        assert types == {*rows, *re.findall(r"`(\S+)`", left_out)}
    families = {
        "ministral", "minimax_m2", "dots1", "hy_v3", "solar_open", "llama4_text", "gemma3n_text", "hunyuan_v1_dense",
        "ernie4_5_moe", "bamba", "bailing_hybrid", "inkling_text",
    }  # fmt: skip
    assert families <= set(rows)


def test_a_type_without_a_tiny_model_is_listed_with_the_reason() -> None:
    *rows, empty, line = isolation_table(["llama", "bart", "xmod"]).splitlines()
    assert (len(rows), empty) == (3, "")
    assert line.startswith("Left out: `bart` (too large); `xmod` (Input language unknown")


def test_every_built_in_adapter_but_the_fallback_has_a_row() -> None:
    page = PAGE.read_text("utf-8")
    adapters = [
        row.name for row in installed.registry().plugins
        if row.kind == "model-adapter" and row.distribution == "mftkit"
    ]  # fmt: skip
    assert [name for name in adapters if f"| `{name}` |" not in page] == ["huggingface"]


def test_the_documented_option_is_one() -> None:
    assert installed.build(kinds.MODEL_ADAPTER, "qwen", {"router_loss": 0}).options.router_loss == 0
