"""``gradients``, and the grouping that it means."""

from collections.abc import Iterator

import pytest

import mftkit
from fixture_types import Install
from mftkit_registry import MftError

PLUGIN = """
import mftkit

@mftkit.hookimpl
def register_gradient_combiners(register):
    register("plain-sum", Sum, summary="the sum")

class Sum(mftkit.GradientCombiner):
    def combine(self, gradients, weights):
        return gradients.sum(0)
"""
SPEC = {"name": "x", "model": {"path": "org/model"}, "tasks": [{"name": "a", "train": "a"}]}


@pytest.fixture
def plain_sum(install: Install) -> Iterator[None]:
    from mftkit.plugins import installed

    install("mft-sum", {"sum": "mft_sum"}, {"mft_sum": PLUGIN})
    installed.registry.cache_clear()
    yield
    installed.registry.cache_clear()


def test_grouping_is_implied(plain_sum: None) -> None:
    read = mftkit.load_spec({**SPEC, "gradients": "plain-sum"})
    assert read.training.grouping == "task"
    assert mftkit.load_spec(read.dump()).dump() == read.dump()
    assert mftkit.load_spec(SPEC).training.grouping == "none"


def test_another_grouping_is_refused(plain_sum: None) -> None:
    with pytest.raises(MftError, match=r'training\.grouping: should be "task".*plain-sum.*given: "none"'):
        mftkit.load_spec({**SPEC, "gradients": "plain-sum", "training": {"grouping": "none"}})


def test_an_unknown_combiner_is_reported(plain_sum: None) -> None:
    with pytest.raises(MftError, match='unknown gradient-combiner.*did you mean "plain-sum"'):
        mftkit.load_spec({**SPEC, "gradients": "plain-sun"})
