"""The table of families that keep packed samples apart, made by trying a tiny model of each."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mftkit.base.formatting import shortened
from mftkit.interfaces.model import VARLEN
from mftkit.models.model_checks import isolation_problem
from mftkit.models.varlen_trial import use_varlen
from mftkit.plugins import installed
from mftkit.plugins.kinds import MODEL_ADAPTER
from mftkit.testing.adapter_training import quiet
from mftkit.testing.tiny import AnyAdapter, from_random, logits, try_tiny_config

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

ATTENTIONS = ("sdpa", "eager", VARLEN)
HEADINGS = ("model type", *ATTENTIONS)
ABSENT = "not offered"


def isolation_table(model_types: Iterable[str] | None = None) -> str:
    """Return a Markdown table: for each model type and attention, whether packed samples are kept apart.

    Below it is a line with the types that were left out, if any, and why.

    ``model_types``: those of transformers; None: all causal language models.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    declared = _declared_configs()
    rows, left_out = [], {}
    for name in sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES) if model_types is None else model_types:
        with quiet():
            config, why = (declared[name], "") if name in declared else try_tiny_config(name)
            found = [] if config is None else [_tried(config, attention) for attention in ATTENTIONS]
        if any(cell != ABSENT for cell in found):
            rows.append((f"`{name}`", *found))
        else:
            left_out[name] = why or "its forward pass fails under each attention"
    lines = [HEADINGS, tuple("---" for _ in HEADINGS), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + _left_out(left_out)


def _left_out(reasons: Mapping[str, str]) -> str:
    """A line with the model types that have no row, those with the same reason together; "" for none."""
    if not reasons:
        return ""
    names: dict[str, list[str]] = {}
    for name, why in reasons.items():
        names.setdefault(_in_a_line(why), []).append(f"`{name}`")
    parts = [f"{', '.join(each)} ({why})" for why, each in names.items()]
    return f"\nLeft out: {'; '.join(parts)}.\n"


def _in_a_line(why: str) -> str:
    own = why.rpartition("ValueError: ")[2]  # without which validator of a config class raised it
    text = re.sub(r"[`|<>*\[\]]", " ", own)
    return shortened(" ".join(text.split()).rstrip("."), 100)


def _declared_configs() -> dict[str, Mapping[str, Any]]:
    """The tiny configs that adapters declare for families of transformers, by model type."""
    adapters = [
        installed.build(MODEL_ADAPTER, row.name, {})
        for row in installed.registry().plugins
        if row.kind == MODEL_ADAPTER.name and row.status == "ok" and row.name
    ]
    families = [
        family
        for adapter in adapters
        for family in adapter.families
        if not adapter.converts(dict(family.config))
    ]
    return {str(family.config.get("model_type")): family.config for family in families}


def _tried(config: Mapping[str, Any], attention: str) -> str:
    adapter = AnyAdapter(AnyAdapter.Options())
    try:
        model = from_random(adapter, dict(config), attention="auto" if attention == VARLEN else attention)
        logits(model)
    except (
        Exception
    ):  # no such attention, sizes that do not fit together, an input that only this family needs
        return ABSENT
    if attention == VARLEN and use_varlen(adapter, model, 0):
        return "no"
    try:
        return "no" if isolation_problem(adapter, model) else "yes"
    except Exception as error:  # whatever a family raises when it is given positions without a mask
        return f"no ({type(error).__name__})"
