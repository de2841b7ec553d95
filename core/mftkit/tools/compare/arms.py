"""The ways in which a spec is trained: what each one changes, and nothing else.

Core names no component: a baseline's loss and balancer are found by what components promise.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from mftkit.plugins import installed, kinds
from mftkit.spec.reading import parse_json
from mftkit.spec.references import plain
from mftkit_registry import MftError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mftkit.interfaces.component import Component
    from mftkit.spec import Spec
    from mftkit_registry import Kind


class Baseline(StrEnum):
    """What balanced training is held against."""

    SINGLE = auto()
    """A model of its own for each task."""
    MIXED = auto()
    """One model for all tasks, by plain cross-entropy."""


class Budget(StrEnum):
    """What a model of one task gets."""

    EPOCHS = auto()
    """As many passes over the task's samples as the model of all tasks makes."""
    STEPS = auto()
    """As many optimizer steps as the model of all tasks makes."""


@dataclass(frozen=True)
class Arm:
    """One way of training."""

    label: str
    """As the table calls it."""
    key: str
    """As its directory is called."""
    kind: str
    """"single", "mixed", "balancer" or "loss"."""
    loss: dict[str, Any]
    balancer: dict[str, Any]
    """As a spec has them: {"name": ..., "options": {...}}."""

    @property
    def is_single(self) -> bool:
        """Whether each task has a run of its own."""
        return self.kind == Baseline.SINGLE

    @property
    def is_baseline(self) -> bool:
        """Whether the others are compared with it."""
        return self.kind in tuple(Baseline)


@dataclass(frozen=True)
class CompareOptions:
    """What the user wants compared."""

    baselines: tuple[Baseline, ...] = tuple(Baseline)
    balancers: tuple[dict[str, Any], ...] = ()
    losses: tuple[dict[str, Any], ...] = ()
    mixed_loss: str | None = None
    """The baseline's loss, where it is not found by itself."""
    budget: Budget = Budget.EPOCHS


def make_arms(base: Spec, asked: CompareOptions) -> list[Arm]:
    """The arms, baselines first; one that is another's twin is left out.

    A balancer is tried with the spec's loss, a loss with the spec's balancer. Without either the spec is
    tried as it stands.

    Raises MftError for a component that is not there, and where a baseline's cannot be found.
    """
    own_loss, own_balancer = base.loss.model_dump(), base.balancer.model_dump()
    arms = [_baseline(which, base, asked) for which in dict.fromkeys(asked.baselines)]
    balancers = asked.balancers or (() if asked.losses else (own_balancer,))
    for given in balancers:
        ref, label, key = _reference(kinds.BALANCER, given, own_balancer)
        arms.append(Arm(label, f"balancer-{key}", "balancer", own_loss, ref))
    for given in asked.losses:
        ref, label, key = _reference(kinds.LOSS, given, own_loss)
        arms.append(Arm(label, f"loss-{key}", "loss", ref, own_balancer))
    if not arms:
        raise MftError("nothing to compare: name --balancers, --losses or --baselines")
    return _distinct(arms)


def parse_references(values: Iterable[str], option: str) -> tuple[dict[str, Any], ...]:
    """Components from the command line: names with commas between them, or one as a spec's object.

    >>> parse_references(["a,b", '{"name": "c", "options": {"rate": 2}}'], "--losses")
    ({'name': 'a'}, {'name': 'b'}, {'name': 'c', 'options': {'rate': 2}})
    """
    found: list[dict[str, Any]] = []
    for value in values:
        if not value.lstrip().startswith("{"):
            found += [{"name": name} for name in split(value)]
            continue
        try:
            ref = parse_json(value)
        except ValueError as error:
            raise MftError(f"{option} {value}: not JSON: {error}") from error
        if not isinstance(ref.get("name"), str) or not ref.keys() <= {"name", "options"}:
            raise MftError(f'{option} {value}: should be {{"name": ..., "options": {{...}}}}')
        found.append(ref)
    return tuple(found)


def parse_baselines(value: str) -> tuple[Baseline, ...]:
    """Baselines from the command line; an empty text for none. Raises MftError for another word."""
    allowed = [which.value for which in Baseline]
    for word in split(value):
        if word not in allowed:
            near = nearest(word, allowed)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise MftError(f"--baselines {word}: allowed are {', '.join(allowed)}{hint}")
    return tuple(Baseline(word) for word in split(value))


def split(value: str) -> list[str]:
    """The words between commas."""
    return [word.strip() for word in value.split(",") if word.strip()]


def _reference(
    kind: Kind[Component], given: dict[str, Any], own: dict[str, Any]
) -> tuple[dict[str, Any], str, str]:
    """A component as a spec has it, its label, and its part of a directory's name.

    A bare name that is the spec's own component stands for it with the spec's options.
    """
    name, options = given["name"], given.get("options")
    installed.component_class(kind, name)
    if not options:
        return ({"name": name} if name != own["name"] else own), name, name
    told = ", ".join(f"{key}={json.dumps(value)}" for key, value in options.items())
    digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:8]
    return {"name": name, "options": options}, f"{name} ({told})", f"{name}-{digest}"


def _baseline(which: Baseline, base: Spec, asked: CompareOptions) -> Arm:
    balancer = {"name": _neutral()}
    if which is Baseline.SINGLE:
        return Arm(which.value, f"{which}-{asked.budget}", which.value, base.loss.model_dump(), balancer)
    loss = {"name": asked.mixed_loss or _pooled(base)}
    if asked.mixed_loss is not None:
        installed.component_class(kinds.LOSS, asked.mixed_loss)
    return Arm(which.value, f"{which}-{loss['name']}", which.value, loss, balancer)


def _pooled(base: Spec) -> str:
    """The loss that promises plain cross-entropy over the tokens of all tasks."""
    found = installed.names_with(kinds.LOSS, "pooled")
    if base.loss.name in found:
        return base.loss.name
    if len(found) != 1:
        told = f"several promise it: {', '.join(found)}" if found else "none that is installed promises it"
        raise MftError(
            f"--baselines {Baseline.MIXED}: needs a loss that is plain cross-entropy over all tokens, and {told}; "
            "name one by --mixed-loss"
        )
    return found[0]


def _neutral() -> str:
    """A balancer that promises equal weights; of several the first, since they are one."""
    found = installed.names_with(kinds.BALANCER, "neutral")
    if not found:
        raise MftError(
            "--baselines: need a balancer with equal weights, and none that is installed promises it"
        )
    return found[0]


def _resolved(kind: Kind[Component], ref: dict[str, Any]) -> list[Any]:
    """Name and options with defaults; options that are wrong as they are, for the spec to tell of."""
    options = ref.get("options", {})
    model = installed.component_class(kind, ref["name"]).Options
    try:
        return [ref["name"], plain(model.model_validate(options))]
    except ValidationError:
        return [ref["name"], options]


def _distinct(arms: Sequence[Arm]) -> list[Arm]:
    """Without arms that train the very same; and no two with one label."""
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
