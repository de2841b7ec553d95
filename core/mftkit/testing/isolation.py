"""The table of families that keep packed samples apart, made by trying a tiny model of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.interfaces.model import VARLEN
from mftkit.models.model_checks import isolation_problem
from mftkit.models.varlen_trial import use_varlen
from mftkit.plugins import installed
from mftkit.plugins.kinds import MODEL_ADAPTER
from mftkit.testing.adapter_training import quiet
from mftkit.testing.tiny import AnyAdapter, from_random, logits, tiny_config

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

ATTENTIONS = ("sdpa", "eager", VARLEN)
HEADINGS = ("model type", *ATTENTIONS)
ABSENT = "not offered"
LAYERS = {"lfm2": ("conv", "full_attention"), "lfm2_moe": ("conv", "full_attention")}
"""Layers of the published models, for families whose default in transformers is attention alone."""


def isolation_table(model_types: Iterable[str] | None = None) -> str:
    """Return a Markdown table: for each model type and attention, whether packed samples are kept apart.

    ``model_types``: those of transformers; None: all causal language models of which a tiny one can be made.
    """
    lines = [HEADINGS, tuple("---" for _ in HEADINGS), *_rows(model_types)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _rows(model_types: Iterable[str] | None) -> Iterator[tuple[str, ...]]:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    declared = _declared_configs()
    for name in sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES) if model_types is None else model_types:
        with quiet():
            config = declared.get(name) or tiny_config(name)
            if config is not None and name in LAYERS:
                config = {**config, "layer_types": list(LAYERS[name])}
            found = [] if config is None else [_tried(config, attention) for attention in ATTENTIONS]
        if any(cell != ABSENT for cell in found):
            yield (f"`{name}`", *found)


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
