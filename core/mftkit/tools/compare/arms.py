"""The arms of a comparison: each changes one thing in the spec, and nothing else.

Core names no component: a baseline's loss and balancer are found by the attributes that components declare.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import TYPE_CHECKING

from pydantic import ValidationError

from mftkit.plugins import installed, kinds
from mftkit.spec.reading import parse_json
from mftkit.spec.references import plain
from mftkit_registry import MftError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mftkit.base.json_types import JsonObject
    from mftkit.interfaces.component import Component
    from mftkit.spec import Spec
    from mftkit_registry import Kind


class Baseline(StrEnum):
    """A reference that balanced training is compared with."""

    SINGLE = auto()
    """A separate model for each task."""
    MIXED = auto()
    """One model for all tasks, by plain cross-entropy."""


class BudgetUnit(StrEnum):
    """The budget of a model of one task."""

    EPOCHS = auto()
    """As many passes over the task's samples as the model of all tasks makes."""
    STEPS = auto()
    """As many optimizer steps as the model of all tasks makes."""


@dataclass(frozen=True)
class Arm:
    """One way of training."""

    label: str
    """Its name in the table."""
    key: str
    """The name of its directory."""
    kind: str
    """"single", "mixed", "balancer" or "loss"."""
    loss: JsonObject
    balancer: JsonObject
    """Both as in a spec: {"name": ..., "options": {...}}."""

    @property
    def is_single(self) -> bool:
        """True if each task has its own run."""
        return self.kind == Baseline.SINGLE

    @property
    def is_baseline(self) -> bool:
        """True if the others are compared with it."""
        return self.kind in tuple(Baseline)


@dataclass(frozen=True)
class CompareOptions:
    """The user's choice of arms and budget."""

    baselines: tuple[Baseline, ...] = tuple(Baseline)
    balancers: tuple[JsonObject, ...] = ()
    losses: tuple[JsonObject, ...] = ()
    mixed_loss: str | None = None
    """The baseline's loss; None to find it."""
    budget: BudgetUnit = BudgetUnit.EPOCHS


def make_arms(base: Spec, options: CompareOptions) -> list[Arm]:
    """The arms, baselines first; of arms that would train the very same, the first is kept.

    A balancer is tried with the spec's loss, a loss with the spec's balancer. Without either, the spec is tried
    unchanged.

    Raises MftError for an unknown component, and if a baseline's component cannot be found.
    """
    own_loss, own_balancer = base.loss.model_dump(), base.balancer.model_dump()
    arms = [_baseline(which, base, options) for which in dict.fromkeys(options.baselines)]
    balancers = options.balancers or (() if options.losses else (own_balancer,))
    for given in balancers:
        ref, label, key = _reference(kinds.BALANCER, given, own_balancer)
        arms.append(Arm(label, f"balancer-{key}", "balancer", own_loss, ref))
    for given in options.losses:
        ref, label, key = _reference(kinds.LOSS, given, own_loss)
        arms.append(Arm(label, f"loss-{key}", "loss", ref, own_balancer))
    if not arms:
        raise MftError("nothing to compare: give --balancers, --losses or --baselines")
    return _distinct(arms)


def parse_references(values: Iterable[str], option: str) -> tuple[JsonObject, ...]:
    """Components from the command line: names separated by commas, or one as an object of a spec.

    >>> parse_references(["a,b", '{"name": "c", "options": {"rate": 2}}'], "--losses")
    ({'name': 'a'}, {'name': 'b'}, {'name': 'c', 'options': {'rate': 2}})
    """
    found: list[JsonObject] = []
    for value in values:
        if not value.lstrip().startswith("{"):
            found += [{"name": name} for name in split(value)]
            continue
        try:
            ref = parse_json(value)
        except ValueError as error:
            raise MftError(f"{option} {value}: not JSON: {error}") from error
        if not isinstance(ref.get("name"), str) or not ref.keys() <= {"name", "options"}:
            raise MftError(f'{option} {value}: expected {{"name": ..., "options": {{...}}}}')
        found.append(ref)
    return tuple(found)


def parse_baselines(value: str) -> tuple[Baseline, ...]:
    """Baselines from the command line; empty for none. Raises MftError for another word."""
    allowed = [which.value for which in Baseline]
    for word in split(value):
        if word not in allowed:
            near = nearest(word, allowed)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise MftError(f"--baselines {word}: expected {' or '.join(allowed)}{hint}")
    return tuple(Baseline(word) for word in split(value))


def split(value: str) -> list[str]:
    """The words separated by commas."""
    return [word.strip() for word in value.split(",") if word.strip()]


def _reference(kind: Kind[Component], given: JsonObject, own: JsonObject) -> tuple[JsonObject, str, str]:
    """A component as in a spec, its label, and its part of a directory's name.

    The bare name of the spec's own component stands for it with the spec's options.
    """
    name, options = given["name"], given.get("options")
    installed.component_class(kind, name)
    if not options:
        return ({"name": name} if name != own["name"] else own), name, name
    shown = ", ".join(f"{key}={json.dumps(value)}" for key, value in options.items())
    digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:8]
    return {"name": name, "options": options}, f"{name} ({shown})", f"{name}-{digest}"


def _baseline(which: Baseline, base: Spec, options: CompareOptions) -> Arm:
    balancer = {"name": _neutral()}
    if which is Baseline.SINGLE:
        return Arm(which.value, f"{which}-{options.budget}", which.value, base.loss.model_dump(), balancer)
    loss = {"name": options.mixed_loss or _pooled(base)}
    if options.mixed_loss is not None:
        installed.component_class(kinds.LOSS, options.mixed_loss)
    return Arm(which.value, f"{which}-{loss['name']}", which.value, loss, balancer)


def _pooled(base: Spec) -> str:
    """The loss that declares to be plain cross-entropy over the tokens of all tasks."""
    found = installed.names_with(kinds.LOSS, "pooled")
    if base.loss.name in found:
        return base.loss.name
    if len(found) != 1:
        count = f"{len(found)} installed ones are: {', '.join(found)}" if found else "no installed one is"
        raise MftError(
            f"--baselines {Baseline.MIXED}: needs a loss that is plain cross-entropy over all tokens (pooled), and "
            f"{count}; choose one with --mixed-loss"
        )
    return found[0]


def _neutral() -> str:
    """A balancer that declares equal weights; of several the first, since they are all the same."""
    found = installed.names_with(kinds.BALANCER, "neutral")
    if not found:
        raise MftError(
            "--baselines: needs a balancer with equal weights (neutral), and no installed one is; give "
            '--baselines "" to compare without baselines'
        )
    return found[0]


def _resolved(kind: Kind[Component], ref: JsonObject) -> list[object]:
    """Name and options with defaults; invalid options unchanged, since loading the spec reports them."""
    options = ref.get("options", {})
    model = installed.component_class(kind, ref["name"]).Options
    try:
        return [ref["name"], plain(model.model_validate(options))]
    except ValidationError:
        return [ref["name"], options]


def _distinct(arms: Sequence[Arm]) -> list[Arm]:
    """Leave out arms that train the very same, and make all labels different."""
    kept: dict[str, Arm] = {}
    for arm in arms:
        parts = [_resolved(kinds.LOSS, arm.loss), _resolved(kinds.BALANCER, arm.balancer)]
        kept.setdefault(json.dumps([arm.is_single, parts], sort_keys=True), arm)
    labels = [arm.label for arm in kept.values()]
    return [
        arm
        if labels.count(arm.label) == 1
        else Arm(f"{arm.kind} {arm.label}", arm.key, arm.kind, arm.loss, arm.balancer)
        for arm in kept.values()
    ]
