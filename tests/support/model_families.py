"""Conformance suites of the built-in model families, one class per family.

Training, exporting and merging take most of a suite's time and depend on the kind of layer more than on the family: one
family of each kind of layer is tried with every tuning, the others with LoRA alone. The suite itself (and so
``mft plugins check`` and the tests of other packages) tries every installed tuning by default.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import transformers
from packaging.version import Version

from mftkit.plugins import installed, kinds
from mftkit.testing.running import suite_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mftkit import Family, ModelAdapter
    from mftkit.testing import Conformance

Layout = Literal["dense", "experts", "converted"]
LORA = {"rank": 4, "dropout": 0.0, "alpha": 8}
"""Without dropout, so that stacks of experts are adapted too."""
EVERY_TUNING = {
    "Llama 1, 2, 3, CodeLlama, DeepSeek-Coder 1": "separate projections",
    "StarCoder, SantaCoder (GPTBigCode)": "queries, keys and values in one projection; learned positions",
    "Phi 3, 3.5, 4": "fused projections in attention and feed-forward layers",
    "Gemma 2": "a tied head with a soft cap",
    "Mixtral": "stacked experts",
    "DeepSeek-V2, V2.5, Coder-V2": "shared and routed experts, and dense layers whose names peft takes for experts'",
    "ChatGLM2, ChatGLM3, CodeGeeX2": "converted weights",
    "Baichuan 1 and 2 13B": "a converted model that plain transformers cannot reproduce",
}
"""Families that train with full, lora and qlora, and what is special about their layers."""


SINCE = {"IQuest-Coder": "5.23", "Granite 3 MoE": "5.18", "Granite 4": "5.18"}
"""The version of transformers that brought a family, or its routers' choices, if it is not the lowest supported one."""


def declared_families() -> Iterator[tuple[str, ModelAdapter, Family]]:
    """Every family of a built-in adapter that the installed transformers has, with the adapter and its name."""
    for row in installed.registry().plugins:
        if row.kind == "model-adapter" and row.distribution == "mftkit":
            adapter: ModelAdapter = installed.build(kinds.MODEL_ADAPTER, row.name, {})
            yield from ((row.name, adapter, family) for family in adapter.families if _is_known(family))


def family_suites(layout: Layout) -> dict[str, type[Conformance]]:
    """Classes for pytest to collect, named after the families of one layout."""
    found = {}
    for name, adapter, family in declared_families():
        if _layout(adapter, family) == layout:
            suite = re.sub(r"\W+", "_", f"Test_{name}_{family.name}")
            found[suite] = suite_for(kinds.MODEL_ADAPTER, type(adapter), **_settings(family))
    assert found
    return found


def _is_known(family: Family) -> bool:
    """Return True if transformers has it; the newest version in CI has all."""
    return Version(transformers.__version__) >= Version(SINCE.get(family.name, "0"))


def _layout(adapter: ModelAdapter, family: Family) -> Layout:
    if adapter.converts(dict(family.config)):
        return "converted"
    return "experts" if family.router_loss else "dense"


def _settings(family: Family) -> dict[str, object]:
    others = {"full": {}, "qlora": {"rank": 4}} if family.name in EVERY_TUNING else {}
    return {
        "config": family.config,
        "attentions": family.attentions,
        "router_loss": family.router_loss,
        "plain_result": family.plain,
        "tunings": {"lora": LORA, **others},
    }
