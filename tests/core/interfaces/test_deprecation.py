"""Old names of the interface keep working for packages written before, and each says its new name."""

# mypy: disable-error-code="call-arg, attr-defined, override, arg-type"
# Type checkers do not know the old names, so that they point out what to rename.

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import mftkit
from mftkit.interfaces.deprecation import RenamedAttribute
from mftkit.models.converted import ConvertedAdapter


def old(match: Any) -> Any:
    return pytest.warns(DeprecationWarning, match=match)


def test_a_class_attribute_is_adopted() -> None:
    with old(r"^Old\.prepares is now Old\.needs_step_losses; the old name will be removed$") as caught:

        class Old(mftkit.Balancer):
            prepares = True

    assert caught[0].filename == __file__
    assert Old({}).needs_step_losses is True
    with old(r"Balancer\.prepares"):
        assert Old.prepares is True
    assert mftkit.Balancer.needs_step_losses is False


def test_an_attribute_of_the_instance_is_adopted() -> None:
    class Old(mftkit.Balancer):
        def __init__(self, options: Any, tasks: Any = ()) -> None:
            super().__init__(options, tasks)
            self.hold = 3

    with old(r"Balancer\.hold is now Balancer\.minibatch_reuse") as caught:
        made = Old({})
    assert caught[0].filename == __file__
    assert made.minibatch_reuse == 3
    with old(r"Balancer\.hold"):
        assert made.hold == 3


def test_a_property_is_adopted() -> None:
    with old("hold"):

        class Old(mftkit.Balancer):
            @property
            def hold(self) -> Any:
                return 7

    assert Old({}).minibatch_reuse == 7


def test_a_class_for_both_versions_is_left_alone() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")

        class Both(mftkit.Balancer):
            prepares = True
            needs_step_losses = True

    assert Both({}).needs_step_losses


def test_subclasses_of_an_old_class_inherit_and_override() -> None:
    with old("prepares"):

        class Old(mftkit.Balancer):
            prepares = True

    class Younger(Old):
        pass

    with old("prepares"):

        class Other(Old):
            prepares = False

    assert Younger({}).needs_step_losses
    assert not Other({}).needs_step_losses


class OldMixin:
    hold = 3
    prepares = True


def test_an_attribute_of_a_mixin_is_adopted() -> None:
    with old(r"^Mixed\.hold is now Mixed\.minibatch_reuse;") as caught, old(r"^Mixed\.prepares is now"):

        class Mixed(OldMixin, mftkit.Balancer):
            pass

    assert {warning.filename for warning in caught} == {__file__}
    assert (Mixed({}).minibatch_reuse, Mixed({}).needs_step_losses) == (3, True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")

        class Younger(Mixed):
            minibatch_reuse = 5

        class After(mftkit.Balancer, OldMixin):
            pass

    assert (Younger({}).minibatch_reuse, Younger({}).needs_step_losses) == (5, True)
    assert After({}).minibatch_reuse == 1, "the interface's own attribute comes first, as it did before"


def test_the_class_of_a_mixin_decides_by_a_new_name() -> None:
    with old(r"^New\.prepares is now New\.needs_step_losses"):

        class New(OldMixin, mftkit.Balancer):
            minibatch_reuse = 5

    assert (New({}).minibatch_reuse, New({}).needs_step_losses) == (5, True)


def test_an_old_method_of_a_mixin_is_called_and_finds_its_parent() -> None:
    class Tells:
        def tell(self, config: Any, max_length: Any, reporter: Any) -> None:
            reporter.note("mixed in")
            super().tell(config, max_length, reporter)

    with old(r"Old\.tell is now Old\.describe"):

        class Old(Tells, ConvertedAdapter):
            original_types = ("old",)

            def converts(self, config: Any) -> Any:
                return False

    reporter = Reporter()
    with old(r"ModelAdapter\.tell is now ModelAdapter\.describe"):
        Old({}).describe({}, None, reporter)
    assert reporter.notes == ["mixed in"]


class Reporter:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: Any) -> None:
        self.notes.append(text)


def test_an_old_method_is_called_and_finds_its_parent() -> None:
    with old(r"Old\.tell is now Old\.describe"):

        class Old(ConvertedAdapter):
            original_types = ("old",)

            def converts(self, config: Any) -> Any:
                return False

            def tell(self, config: Any, max_length: Any, reporter: Any) -> None:
                reporter.note("before")
                super().tell(config, max_length, reporter)
                reporter.note("after")

    with old("tell"):

        class Older(Old):
            def tell(self, config: Any, max_length: Any, reporter: Any) -> None:
                reporter.note("outermost")
                super().tell(config, max_length, reporter)

    for cls, expected in ((Old, ["before", "after"]), (Older, ["outermost", "before", "after"])):
        reporter = Reporter()
        with old(r"ModelAdapter\.tell is now ModelAdapter\.describe"):
            cls({}).describe({}, None, reporter)
        assert reporter.notes == expected


def test_an_old_caller_reaches_a_new_method() -> None:
    class New(mftkit.ModelAdapter):
        def describe(self, config: Any, max_length: Any, reporter: Any) -> Any:
            return "described"

    with old("tell"):
        assert New({}).tell({}, None, None) == "described"


def test_fields_of_a_sample() -> None:
    with old(r"^Sample\(counts=\.\.\.\) is now Sample\(loss_mask=\.\.\.\)") as caught:
        sample = mftkit.Sample(0, 0, np.arange(2), counts=np.array([False, True]))
    assert caught[0].filename == __file__
    assert sample.loss_mask.tolist() == [False, True]
    with old(r"^Sample\.counts is now Sample\.loss_mask") as caught:
        assert sample.counts is sample.loss_mask
    assert caught[0].filename == __file__


def test_fields_of_a_batch() -> None:
    ids, index = torch.zeros(1, 2, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)
    new = mftkit.Batch(ids, None, index, index, index, index, index, (0,), 2, ids.bool(), index.double())
    with old("positions"), old("real"), old("row_weight"):
        made = mftkit.Batch(
            ids, None, positions=index, targets=index, task=index, sample=index, sample_task=index,
            sample_index=(0,), real_tokens=2, real=ids.bool(), row_weight=index.double(),
        )  # fmt: skip
    for field in ("predictor_index", "token_mask", "sample_weight"):
        assert torch.equal(getattr(made, field), getattr(new, field))
    for name, field in (
        ("positions", "predictor_index"),
        ("real", "token_mask"),
        ("row_weight", "sample_weight"),
    ):
        with old(rf"Batch\.{name} is now Batch\.{field}"):
            assert getattr(made, name) is getattr(made, field)
    with old("positions"):
        assert replace(made, positions=index + 5).predictor_index.tolist() == [5]


def tokens(**more: Any) -> Any:
    index = torch.tensor([0, 0, 1])
    return mftkit.Tokens(torch.zeros(3), index, index, torch.tensor([0, 1]), 2, 2, **more)


def test_weights_of_tokens() -> None:
    plain, weights = tokens(), torch.tensor([1.0, 3.0])
    with old(r"Tokens\(row_weight=\.\.\.\)"):
        weighted = tokens(row_weight=weights)
    assert (plain.weighted, weighted.weighted) == (False, True)
    assert plain.sample_weight.tolist() == [1, 1]
    assert weighted.sample_weight is weights
    assert weighted.weight.tolist() == [1, 1, 3]
    assert tokens(sample_weight=None).sample_weight.tolist() == [1, 1]
    with old(r"Tokens\.row_weight is now Tokens\.sample_weight"):
        assert plain.row_weight is None
    with old("row_weight"):
        assert weighted.row_weight is weights


def test_fields_of_totals() -> None:
    with old(r"Totals\(counted=\.\.\.\)"):
        totals = mftkit.Totals(torch.zeros(1, 1), torch.ones(1), torch.ones(1), counted=torch.tensor([True]))
    with old(r"Totals\.counted is now Totals\.tasks_in_mean"):
        assert totals.counted is totals.tasks_in_mean


def test_a_loss_and_a_chat_model() -> None:
    with old("reads_row_weights"):

        class OldLoss(mftkit.Loss):
            reads_row_weights = True

    assert OldLoss.reads_sample_weights
    with old(r"ChatModel\.how_not_what"):
        inherited = mftkit.ChatModel.how_not_what
    with old("how_not_what"):

        class OldModel(mftkit.ChatModel):
            how_not_what = inherited | {"threads"}

    assert OldModel.options_without_effect_on_replies == {*inherited, "threads"}
    with old("whole"):
        assert mftkit.Reply("text", 1, 1, "stop").whole


def test_old_names_of_the_package() -> None:
    with old(r"^mftkit\.MixtureAdapter is now mftkit\.MoEAdapter; the old name will be removed$") as caught:
        assert mftkit.MixtureAdapter is mftkit.MoEAdapter
    assert caught[0].filename == __file__


def test_core_declares_each_old_name_once() -> None:
    for cls in (mftkit.Balancer, mftkit.Loss, mftkit.ChatModel, mftkit.ModelAdapter):
        renamed = {old: item for old, item in vars(cls).items() if isinstance(item, RenamedAttribute)}
        assert renamed
        for name, item in renamed.items():
            assert hasattr(cls, item.new), name
