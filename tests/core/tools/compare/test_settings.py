"""Arms that change keys of the spec: how they are written, named and refused."""

from __future__ import annotations

from pathlib import Path

import pytest

import mftkit
from mftkit.tools.compare.arms import CompareOptions, make_arms
from mftkit.tools.compare.settings import Setting, Variant, labels, parse_arms, parse_vary, split_values
from mftkit_registry import MftError
from small_runs import small_spec


def overrides(variants: list[Variant]) -> list[list[str]]:
    return [[setting.override for setting in each.settings] for each in variants]


def test_vary_is_a_grid_of_json_values_or_strings() -> None:
    found = parse_vary(["training.learning_rate=1e-5,3e-5", "training.scheduler=linear, constant"])
    assert overrides(found) == [
        [f"training.learning_rate={rate}", f'training.scheduler="{scheduler}"']
        for rate in ("1e-05", "3e-05")
        for scheduler in ("linear", "constant")
    ]
    assert labels(found)[0] == "learning_rate=1e-05, scheduler=linear"
    [one] = parse_vary(['loss={"name": "x", "options": {"alpha": [1, 2]}}'])
    assert labels([one]) == ["loss=x (alpha=[1, 2])"]
    assert parse_vary([]) == []
    several = parse_vary(["early_stopping.tasks=[1,2],null"])
    assert [each.settings[0].value for each in several] == [[1, 2], None]


def test_arms_have_several_settings_and_may_have_names() -> None:
    found = parse_arms(
        ["long:training.epochs=3,model.path=a:b", 'tuning={"method": "lora", "rank": 2}', "name-x:a=1"]
    )
    assert overrides(found)[0] == ["training.epochs=3", 'model.path="a:b"']
    assert [each.name for each in found] == ["long", None, "name-x"]
    assert labels(found) == ["long", "tuning=lora (rank=2)", "name-x"]
    assert parse_arms(["model.path=a:b"])[0].settings == (Setting("model.path", "a:b"),)


def test_names_are_short_and_unambiguous_and_directories_are_safe() -> None:
    found = parse_vary(["loss.options.gamma=1,2", "balancer.options.gamma=3"])
    assert labels(found)[0] == "loss.options.gamma=1, balancer.options.gamma=3"
    odd = Variant((Setting("tasks.0.train", ["../x y/*.jsonl"]), Setting("a", "é" * 80)))
    assert len(labels([odd])[0]) <= 60
    assert odd.directory.replace("-", "").replace("_", "").replace(".", "").replace("=", "").isascii()
    assert "/" not in odd.directory
    assert len({each.directory for each in found}) == 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("training.learning_rate", "expected KEY=VALUE,VALUE"),
        ("training.learning_rate=", "expected KEY=VALUE,VALUE"),
        ("a=1,,2", "nothing between two commas"),
        ("a=[1,2", "a bracket is not closed"),
        ('a="x,y', "a double quote is not closed"),
        ("seed=1,2", "seed cannot differ between arms: the seeds of a comparison are those of --seeds"),
    ],
)
def test_vary_that_is_refused(values: str, message: str) -> None:
    with pytest.raises(MftError, match=message):
        parse_vary([values])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("tuning", "'tuning' is no KEY=VALUE"),
        ("x:a=1,2", "'2' is no KEY=VALUE; a value that contains a comma must be JSON"),
        ("a=1,a=2", "a is given twice"),
        ("x:", "expected .NAME:.KEY=VALUE"),
        (":a=1", "expected .NAME:.KEY=VALUE"),
        ("output=x", "output cannot differ"),
    ],
)
def test_arms_that_are_refused(value: str, message: str) -> None:
    with pytest.raises(MftError, match=message):
        parse_arms([value])


def test_values_are_split_outside_brackets_and_quotes() -> None:
    assert split_values(r'a,"b\",c",[1,[2,3]]', "x") == ["a", r'"b\",c"', "[1,[2,3]]"]
    with pytest.raises(MftError, match="varied twice"):
        parse_vary(["a=1", "a=2"])


def test_all_invalid_arms_are_reported_at_once(tmp_path: Path) -> None:
    base = mftkit.load_spec(small_spec(), directory=tmp_path)
    given = CompareOptions(
        vary=tuple(parse_vary(["training.lerning_rate=1,2"])),
        arms=tuple(
            parse_arms(["tasks.7.weight=2", "loss=mixt", "model.tokenizer=other", "tasks.0.name=huge"])
        ),
    )
    with pytest.raises(MftError) as caught:
        make_arms(base, given)
    title, *lines = [line.strip() for line in str(caught.value).splitlines()]
    assert title == "6 arms cannot be run:"
    assert len(lines) == 6
    assert lines[0].startswith("arm lerning_rate=1: training.lerning_rate: unknown key")
    assert 'did you mean "learning_rate"?' in lines[0]
    assert lines[2].startswith("arm weight=2: tasks.7.weight=2: tasks is a list")
    assert 'did you mean "mixed"' in lines[3]
    assert "different tokenizers cannot be compared" in lines[4]
    assert "the same tasks" in lines[5]


def test_the_arms_of_settings_stand_beside_the_others(tmp_path: Path) -> None:
    base = mftkit.load_spec(small_spec(), directory=tmp_path)
    vary = tuple(parse_vary(["training.learning_rate=3e-3,1e-3"]))
    assert [arm.label for arm in make_arms(base, CompareOptions(vary=vary))] == [
        "learning_rate=0.003",
        "learning_rate=0.001",
    ]
    arms = tuple(
        parse_arms(["training.learning_rate=3e-3", "tuning=lora", "x:balancer=coba", "y:balancer=famo"])
    )
    found = make_arms(base, CompareOptions(baselines=(), losses=({"name": "mixed"},), vary=vary, arms=arms))
    assert [(arm.label, arm.kind, arm.also) for arm in found] == [
        ("unchanged", "balancer", ("learning_rate=0.003",)),
        ("mixed", "loss", ()),
        ("learning_rate=0.001", "vary", ()),
        ("tuning=lora", "arm", ()),
        ("x", "arm", ()),
        ("y", "arm", ()),
    ]
    assert [arm.balancer["name"] for arm in found[-2:]] == ["coba", "famo"]
    assert found[3].spec is not None
    assert found[3].spec.tuning.method == "lora"
    assert make_arms(base, CompareOptions())[2].label == "equal"
    beside = make_arms(base, CompareOptions(balancers=({"name": "coba"},), arms=arms[1:2]))
    assert [arm.label for arm in beside] == ["unchanged", "coba", "tuning=lora"]
    twice = tuple(parse_arms(["x:seed_of=1", "x:loss=mixed"]))
    with pytest.raises(MftError, match="two arms have the name x"):
        make_arms(base, CompareOptions(arms=twice))
