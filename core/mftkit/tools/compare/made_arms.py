"""The arms that are not trained: models of other arms, merged."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING

from mftkit.tools.merging.options import MergeOptions
from mftkit_registry import MftError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mftkit.spec import Spec
    from mftkit.tools.compare.arms import Arm, CompareOptions

MERGED, SOUP = "merged", "soup"
"""Kinds of arms: the single models of a seed, and an arm's models of all seeds."""


def make_made_arms(base: Spec, options: CompareOptions, arms: Sequence[Arm], seeds: int) -> list[Arm]:
    """The arms that are merged of others.

    Args:
        base: the compared spec.
        options: the user's choice.
        arms: the arms that are trained; the single models are among them if others are merged of them.
        seeds: number of seeds.

    Raises MftError for a soup of an arm that there is not, or whose models have no common start.
    """
    single = next((arm for arm in arms if arm.is_single), None)
    found = []
    for merge in dict.fromkeys(options.merged):
        assert single is not None, "the single models are trained where others are merged of them"
        found.append(
            _made(MERGED, merge, f"{MERGED}{_numbers(merge)}", f"{MERGED}-{single.key}{_key(merge)}", single)
        )
    for arm in _named(options.soups, arms):
        _check_soup(base, arm, seeds)
        found.append(_made(SOUP, MergeOptions(), f"{SOUP} of {arm.label}", f"{SOUP}-{arm.key}", arm))
    return _with_own_labels(found, {label for arm in arms for label in (arm.label, *arm.also)})


def _with_own_labels(made: Sequence[Arm], taken: set[str]) -> list[Arm]:
    """The arms under labels that no trained arm has."""
    return [replace(arm, label=f"{arm.label} (not trained)") if arm.label in taken else arm for arm in made]


def _made(kind: str, merge: MergeOptions, label: str, key: str, of: Arm) -> Arm:
    return replace(of, kind=kind, label=label, key=key, merge=merge, also=())


def _numbers(merge: MergeOptions) -> str:
    """The part of a label that says how it is merged; none for an average."""
    if merge.is_average:
        return ""
    given = merge.to_json()
    return f" ({', '.join([given.pop('method'), *(f'{key}={value:g}' for key, value in given.items())])})"


def _key(merge: MergeOptions) -> str:
    """The part of a directory's name that says how it is merged."""
    given = merge.to_json()
    digest = hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()[:8]
    return f"-{merge.method}" + (f"-{digest}" if len(given) > 1 else "")


def _named(labels: Sequence[str], arms: Sequence[Arm]) -> list[Arm]:
    """The arms of these labels; a text that is no label is a list of labels, separated by commas."""
    by_label = {label: arm for arm in reversed(arms) for label in (*arm.also, arm.label)}
    found = dict[str, "Arm"]()
    for text in labels:
        for label in [text] if text in by_label else [part.strip() for part in text.split(",")]:
            if label not in by_label:
                near = nearest(label, list(by_label))
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(by_label)}"
                raise MftError(f"--soup {text}: there is no arm {label!r}; {hint}")
            found[by_label[label].key] = by_label[label]
    return list(found.values())


def _check_soup(base: Spec, arm: Arm, seeds: int) -> None:
    """Refuse a soup of models that have no common start, or of one model."""
    if arm.is_single:
        raise MftError(f"--soup {arm.label}: it has a model for each task, not one for all; see --merged")
    if seeds < 2:
        raise MftError(
            f"--soup {arm.label}: it is the average of the models of all seeds; give --seeds 2 or more"
        )
    model = (arm.spec or base).model
    if model.init == "random" and model.start_from is None:
        raise MftError(
            f"--soup {arm.label}: each seed starts from other random weights, and an average of such models is no "
            "model; give model.path or model.start_from"
        )
