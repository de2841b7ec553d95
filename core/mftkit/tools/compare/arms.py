"""The arms of a comparison: each changes one thing in the spec, and nothing else.

Core names no component: a baseline's loss and balancer are found by the attributes that components declare.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from dataclasses import dataclass, field, replace
from enum import StrEnum, auto
from typing import TYPE_CHECKING

from pydantic import ValidationError

from mftkit.plugins import installed, kinds
from mftkit.spec import load_spec
from mftkit.spec.reading import parse_json
from mftkit.spec.references import plain
from mftkit.tools.compare.settings import labels
from mftkit_registry import MftError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from mftkit.base.json_types import JsonObject
    from mftkit.interfaces.component import Component
    from mftkit.spec import Spec
    from mftkit.tools.compare.settings import Setting, Variant
    from mftkit.tools.merging.options import MergeOptions
    from mftkit_registry import Kind


_COMPARED_APART = ("name", "output", "loss", "balancer")
"""Keys of the spec that do not make two arms different, or are compared in their resolved form."""


_SOURCE = re.compile("(--set|overrides):? ")
"""Where a problem of an arm's settings is by the loader; here it is the arm."""


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
    """"single", "mixed", "balancer", "loss", "vary", "arm", "merged" or "soup"."""
    loss: JsonObject
    balancer: JsonObject
    """Both as in a spec: {"name": ..., "options": {...}}."""
    settings: tuple[Setting, ...] = ()
    """The keys that it changes, if it changes keys of the spec."""
    spec: Spec | None = field(default=None, repr=False)
    """The spec with its settings; None for the compared spec."""
    also: tuple[str, ...] = ()
    """Labels of arms that would train the very same, and are left out."""
    merge: MergeOptions | None = None
    """How models of other arms are merged into its own, if it is not trained."""

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

    baselines: tuple[Baseline, ...] | None = None
    """None: both, or none if the arms vary keys of the spec."""
    balancers: tuple[JsonObject, ...] = ()
    losses: tuple[JsonObject, ...] = ()
    mixed_loss: str | None = None
    """The baseline's loss; None to find it."""
    budget: BudgetUnit = BudgetUnit.EPOCHS
    vary: tuple[Variant, ...] = ()
    """Arms of a grid of values."""
    arms: tuple[Variant, ...] = ()
    """Arms that change other keys of the spec, compared with the spec unchanged."""
    merged: tuple[MergeOptions, ...] = ()
    """Arms of the single models of a seed merged, without training."""
    soups: tuple[str, ...] = ()
    """Labels of arms whose models of all seeds are averaged, without training."""

    @property
    def chosen_baselines(self) -> tuple[Baseline, ...]:
        """The baselines, each once: with the single models, if others are merged of them."""
        chosen = self.baselines
        if chosen is None:
            chosen = () if self.vary or self.arms else tuple(Baseline)
        needed = (Baseline.SINGLE,) if self.merged and Baseline.SINGLE not in chosen else ()
        return tuple(dict.fromkeys((*needed, *chosen)))


def make_arms(
    base: Spec, options: CompareOptions, load: Callable[[list[str]], Spec] | None = None
) -> list[Arm]:
    """The arms, baselines first; of arms that would train the very same, the first is kept.

    A balancer is tried with the spec's loss, a loss with the spec's balancer. The spec is tried unchanged if there are
    arms that change keys, and if nothing else is tried.

    Args:
        base: the compared spec.
        options: the user's choice.
        load: the compared spec with overrides, as from ``load_spec``; None: ``base`` with its defaults filled in.

    Raises MftError for an unknown component, if a baseline's component cannot be found, and for settings that make no
    valid spec: all of these at once.
    """
    own_loss, own_balancer = base.loss.model_dump(), base.balancer.model_dump()
    arms = [_baseline(which, base, options) for which in options.chosen_baselines]
    varied = changed_arms(base, options, load or (lambda changes: load_spec(base.dump(), changes)))
    if options.arms or not (options.balancers or options.losses or options.vary):
        label = "unchanged" if options.arms else base.balancer.name
        arms.append(Arm(label, f"balancer-{base.balancer.name}", "balancer", own_loss, own_balancer))
    for given in options.balancers:
        ref, label, key = _reference(kinds.BALANCER, given, own_balancer)
        arms.append(Arm(label, f"balancer-{key}", "balancer", own_loss, ref))
    for given in options.losses:
        ref, label, key = _reference(kinds.LOSS, given, own_loss)
        arms.append(Arm(label, f"loss-{key}", "loss", ref, own_balancer))
    arms += varied
    if not arms:
        raise MftError("nothing to compare: give --balancers, --losses, --vary, --arm or --baselines")
    return _distinct(arms, base)


def changed_arms(base: Spec, options: CompareOptions, load: Callable[[list[str]], Spec]) -> list[Arm]:
    """The arms that change keys of the spec, each with its spec. Raises MftError, which lists all invalid ones."""
    variants = [*options.vary, *options.arms]
    arms, problems = list[Arm](), list[str]()
    names = [variant.name for variant in variants if variant.name]
    problems += [f"--arm: two arms have the name {name}" for name in names if names.count(name) > 1][:1]
    for number, (variant, label) in enumerate(zip(variants, labels(variants), strict=True)):
        kind = "vary" if number < len(options.vary) else "arm"
        try:
            spec = load([setting.override for setting in variant.settings])
            _check_comparable(spec, base)
        except MftError as error:
            problems.append(f"arm {label}: {_SOURCE.sub('', str(error))}")
            continue
        arms.append(
            Arm(
                label,
                f"setting-{variant.directory}",
                kind,
                spec.loss.model_dump(),
                spec.balancer.model_dump(),
                variant.settings,
                spec,
            )
        )
    if problems:
        raise MftError(all_problems(problems))
    return arms


def all_problems(problems: Sequence[str]) -> str:
    """The problems of arms as one message, each of which names its arm."""
    if len(problems) == 1:
        return problems[0]
    return "\n  ".join([f"{len(problems)} arms cannot be run:", *problems])


def _check_comparable(spec: Spec, base: Spec) -> None:
    """Refuse an arm whose losses would be those of other tasks or other tokens."""
    if [task.name for task in spec.tasks] != [task.name for task in base.tasks]:
        raise MftError("tasks: the arms of a comparison have the same tasks, and this one has others")
    if spec.model.tokenizer != base.model.tokenizer:
        raise MftError("model.tokenizer: losses per token of different tokenizers cannot be compared")


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


def _distinct(arms: Sequence[Arm], base: Spec) -> list[Arm]:
    """Leave out arms that train the very same, and make all labels different."""
    kept: dict[str, Arm] = {}
    # A baseline is without the combiner and the grouping of the spec, so it is another arm where the spec has them.
    is_balanced = base.gradients is not None or base.training.grouping != "none"
    for arm in arms:
        parts = [_resolved(kinds.LOSS, arm.loss), _resolved(kinds.BALANCER, arm.balancer)]
        rest = {key: value for key, value in (arm.spec or base).dump().items() if key not in _COMPARED_APART}
        identity = json.dumps([arm.is_single, arm.is_baseline and is_balanced, parts, rest], sort_keys=True)
        first = kept.setdefault(identity, arm)
        if first is not arm and arm.label != first.label:
            kept[identity] = replace(first, also=tuple(dict.fromkeys((*first.also, arm.label))))
    names = [arm.label for arm in kept.values()]
    found: list[Arm] = []
    for arm in kept.values():
        label = arm.label if names.count(arm.label) == 1 else f"{arm.kind} {arm.label}"
        taken = {other.label for other in found}
        numbered = (f"{label} ({number})" for number in itertools.count(2))
        found.append(
            replace(arm, label=label if label not in taken else next(n for n in numbered if n not in taken))
        )
    return found
