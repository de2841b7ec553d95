"""The proportions that a search begins with, and the section of a spec that sets proportions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.reporting.reporter import Reporter
from mftkit.tools.mix_search.result import BY_SIZE, OWN, UNIFORM
from mftkit.tools.mix_search.search import Point
from mftkit.tools.mix_search.shares import corner, rounded
from mftkit.training.setup import check_run

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.base.json_types import JsonObject
    from mftkit.spec import Spec
    from mftkit.tools.mix_search.shares import Shares


def unit_of(base: Spec) -> str:
    """What proportions are shares of: as the spec's own, or samples."""
    return "samples" if base.mixing is None else str(base.mixing.by)


def mixing_section(base: Spec, shares: Shares) -> JsonObject:
    """The section ``mixing`` with these proportions, and the spec's unit and epoch; they replace a mixer."""
    names = [task.name for task in base.tasks]
    section: JsonObject = {"proportions": dict(zip(names, shares, strict=True))}
    if unit_of(base) != "samples":
        section["by"] = unit_of(base)
    if base.mixing is not None and base.mixing.epoch_samples is not None:
        section["epoch_samples"] = base.mixing.epoch_samples
    return section


def baselines(base: Spec, tokenizer: Path) -> dict[str, Shares]:
    """Proportions by name: uniform, by size and, if the spec mixes, its own.

    Args:
        base: the spec.
        tokenizer: replaces one that the spec trains, so that it is not trained again.

    Raises MftError as the spec's run would.
    """
    spec = base
    if base.model.tokenizer is not None and not isinstance(base.model.tokenizer, str):
        model = base.model.model_copy(update={"tokenizer": str(tokenizer)})
        spec = base.model_copy(update={"model": model})
    found = {
        UNIFORM: rounded([1.0] * len(base.tasks)),
        BY_SIZE: _shares(spec.model_copy(update={"mixing": None}), unit_of(base)),
    }
    if base.mixing is not None:
        found[OWN] = _shares(spec, unit_of(base))
    return found


def first_points(given: dict[str, Shares]) -> list[Point]:
    """The baselines, and the specialists themselves."""
    size = len(given[UNIFORM])
    corners = [Point(corner(size, index), "specialist") for index in range(size)]
    return [*(Point(shares, name) for name, shares in given.items()), *corners]


def _shares(spec: Spec, unit: str) -> Shares:
    """Each task's share of an epoch."""
    tasks = check_run(spec, Reporter()).corpus.tasks
    return rounded([float(task.samples if unit == "samples" else task.tokens) for task in tasks])
