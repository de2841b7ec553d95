"""``--set a.b=value``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mftkit.spec import load_spec
from mftkit.spec.overrides import apply_overrides
from mftkit_registry import MftError, Registry

if TYPE_CHECKING:
    from pathlib import Path

    from fixture_types import SpecDict


@pytest.mark.parametrize(
    ("before", "override", "after"),
    [
        ({}, "a=1", {"a": 1}),
        ({}, "a=x y", {"a": "x y"}),
        ({}, 'a="1"', {"a": "1"}),
        ({}, "a=", {"a": ""}),
        ({}, "a=null", {"a": None}),
        ({}, "a=b=c", {"a": "b=c"}),
        ({}, "a=NaN", {"a": "NaN"}),
        ({}, "a.b.c=[1]", {"a": {"b": {"c": [1]}}}),
        ({"a": None}, "a.b=1", {"a": {"b": 1}}),
        ({"a": {"b": 1}}, "a.c=2", {"a": {"b": 1, "c": 2}}),
        ({"t": [{"w": 1}, {"w": 1}]}, "t.1.w=2", {"t": [{"w": 1}, {"w": 2}]}),
        ({"t": ["x", "y"]}, "t.0=z", {"t": ["z", "y"]}),
        ({"loss": "bent"}, "loss.options.gamma=1", {"loss": {"name": "bent", "options": {"gamma": 1}}}),
    ],
)
def test_sets(before: Any, override: str, after: Any) -> None:
    untouched = repr(before)
    assert apply_overrides(before, [override]) == after
    assert repr(before) == untouched


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("a", "--set a: expected KEY.KEY=VALUE"),
        ("=1", "expected KEY.KEY=VALUE"),
        ("a..b=1", "expected KEY.KEY=VALUE"),
        ("t.2.w=1", "t is a list, and '2' is not an index of it (allowed: 0 to 1)"),
        ("t.x=1", "'x' is not an index of it"),
        ("e.0=1", "(the list is empty)"),
        ("n.a=1", "n is 3, which has no key 'a'"),
    ],
)
def test_malformed_is_reported(override: str, message: str) -> None:
    with pytest.raises(MftError) as caught:
        apply_overrides({"t": [{}, {}], "n": 3, "e": []}, [override, "bad"])
    assert message in str(caught.value)
    assert "--set bad:" in str(caught.value), "all of them are reported"


def test_in_order_and_checked(stand_ins: Registry, spec_dict: SpecDict, tmp_path: Path) -> None:
    overrides = ["training.epochs=2", "training.epochs=3", "output=there", "tasks.0.train=b.jsonl"]
    spec = load_spec(spec_dict(), overrides, directory=tmp_path)
    assert (spec.training.epochs, spec.output) == (3, tmp_path / "there")
    with pytest.raises(MftError, match=r"training\.epoch: unknown key"):
        load_spec(spec_dict(), ["training.epoch=3"], directory=tmp_path)
