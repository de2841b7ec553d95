"""Which arms a wish makes, and how a spec is changed for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from scipy.stats import rankdata

import mftkit
from mftkit.plugins import installed
from mftkit.reporting.reporter import Reporter
from mftkit.tools.compare.arms import (
    Baseline,
    BudgetUnit,
    CompareOptions,
    make_arms,
    parse_baselines,
    parse_references,
)
from mftkit.tools.compare.directory import ComparisonDirectory
from mftkit.tools.compare.outcomes import mean_ranks
from mftkit.tools.compare.planning import plan_runs
from mftkit.tools.compare.specs import run_spec, single_spec
from mftkit_registry import MftError
from recorder import Recorder
from small_runs import rows, small_spec, write_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fixture_types import Install


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_rows(tmp_path / "data" / "big.jsonl", rows("big", 100))
    write_rows(tmp_path / "data" / "small.jsonl", rows("small", 30))
    return tmp_path


@pytest.fixture
def fresh_registry() -> Iterator[None]:
    installed.registry.cache_clear()
    yield
    installed.registry.cache_clear()


def base(project: Path, **changes: Any) -> Any:
    return mftkit.load_spec(small_spec(**changes), directory=project)


def options(**wish: Any) -> CompareOptions:
    for key in wish.keys() & {"balancers", "losses"}:
        wish[key] = tuple({"name": name} for name in wish[key])
    return CompareOptions(**wish)


def test_one_thing_is_changed_at_a_time(project: Path) -> None:
    arms = make_arms(
        base(project, loss="task-focal"), options(balancers=("fixed",), losses=("sample-focal",))
    )
    assert [(arm.label, arm.loss["name"], arm.balancer["name"]) for arm in arms] == [
        ("single", "task-focal", "equal"),
        ("mixed", "mixed", "equal"),
        ("fixed", "task-focal", "fixed"),
        ("sample-focal", "sample-focal", "equal"),
    ]


def test_without_a_wish_the_spec_is_tried_as_it_stands(project: Path) -> None:
    assert [arm.label for arm in make_arms(base(project), options())] == ["single", "mixed", "equal"]
    assert [arm.label for arm in make_arms(base(project), options(baselines=(), losses=("mixed",)))] == [
        "mixed"
    ]


def test_twins_are_trained_once(project: Path) -> None:
    arms = make_arms(
        base(project),
        options(baselines=(Baseline.MIXED,), losses=("mixed", "token-balanced"), balancers=("equal",)),
    )
    assert [arm.label for arm in arms] == ["mixed", "equal"]


def test_a_bare_name_stands_for_the_specs_own_options(project: Path) -> None:
    spec = base(project, loss={"name": "sample-focal", "options": {"gamma": 3.0}})
    given = parse_references(
        ["sample-focal", '{"name": "sample-focal", "options": {"gamma": 1.0}}'], "--losses"
    )
    arms = make_arms(spec, CompareOptions(baselines=(), losses=given))
    assert [arm.loss["options"]["gamma"] for arm in arms] == [3.0, 1.0]
    assert [arm.label for arm in arms] == ["sample-focal", "sample-focal (gamma=1.0)"]
    assert len({arm.key for arm in arms}) == 2


def test_the_mixed_loss_is_found_by_its_promise(
    project: Path, install: Install, fresh_registry: None
) -> None:
    source = """
        import mftkit
        from mftkit_plugins.losses.mixed import Mixed
        @mftkit.hookimpl
        def register_losses(register):
            register("another-pool", Mixed, summary="the same once more")
    """
    install("mft-pool", {"pool": "pool"}, {"pool": source})
    installed.registry.cache_clear()
    with pytest.raises(MftError, match=r"2 installed ones are: .*another-pool.* --mixed-loss"):
        make_arms(base(project), options())
    named = make_arms(base(project), options(mixed_loss="another-pool"))
    assert named[1].loss == {"name": "another-pool"}
    own = make_arms(base(project, loss="another-pool"), options())
    assert own[1].loss == {"name": "another-pool"}


@pytest.mark.parametrize(
    ("values", "message"),
    [(["{"], "not JSON"), (['{"nam": "a"}'], "expected"), (['{"name": "a", "more": 1}'], "expected")],
)
def test_references_that_are_none(values: list[str], message: str) -> None:
    with pytest.raises(MftError, match=message):
        parse_references(values, "--losses")


def test_baselines() -> None:
    assert parse_baselines("single, mixed") == (Baseline.SINGLE, Baseline.MIXED)
    assert parse_baselines("") == ()
    with pytest.raises(MftError, match=r"--baselines mixt: expected single or mixed; did you mean mixed\?"):
        parse_baselines("single,mixt")


def test_a_single_spec_has_nothing_of_other_tasks(project: Path) -> None:
    spec = base(
        project,
        loss={"name": "task-focal", "options": {"alpha": {"big": 2.0, "small": 3.0}}},
        balancer="fixed",
        tasks=[
            {"name": "big", "train": ["data/big.jsonl"], "weight": 2.0},
            {"name": "small", "train": ["data/small.jsonl"], "weight": 0.0},
        ],
        training={"early_stopping": {"patience": 3, "tasks": ["big"]}},
    )
    arm = make_arms(spec, options())[0]
    single = single_spec(spec, arm, 9, project / "out", None, "small", {"max_steps": 5})
    assert [(task.name, task.weight) for task in single.tasks] == [("small", 1.0)]
    assert single.loss.options["alpha"] == {"small": 3.0}
    assert single.training.early_stopping is not None
    assert single.training.early_stopping.tasks is None
    assert (single.seed, single.data.seed, single.training.max_steps) == (9, spec.seed, 5)


@pytest.mark.parametrize("budget", list(BudgetUnit))
def test_the_budget_of_a_single_model(project: Path, budget: BudgetUnit) -> None:
    spec = base(project, training={"epochs": 2, "evaluate_every": 4, "warmup": 6})
    wish = options(baselines=(Baseline.SINGLE,), balancers=("equal",), budget=budget)
    directory = ComparisonDirectory(project / "out")
    with directory:
        directory.begin(spec, fresh=False)
        plan = plan_runs(spec, wish, make_arms(spec, wish), [7, 8], directory, Reporter())
    assert [run.key for run in plan.runs] == [
        f"{arm}/seed-{seed}{task}"
        for seed in (7, 8)
        for arm, task in (
            (f"single-{budget}", "/big"),
            (f"single-{budget}", "/small"),
            ("balancer-equal", ""),
        )
    ]
    for run in plan.runs[:2]:
        training = run.spec.training
        if budget is BudgetUnit.STEPS:
            assert (run.steps, training.max_steps, training.evaluate_every) == (plan.steps, plan.steps, 4)
        else:
            assert plan.single[str(run.task)].epochs == pytest.approx(2)
            assert training.epochs == 2
            # as many validations as the model of all tasks has, to rounding
            assert training.evaluate_every == max(1, round(4 * run.steps / plan.steps))
            assert training.warmup == max(1, round(6 * run.steps / plan.steps))
    assert {str(run.spec.model.tokenizer) for run in plan.runs} == {str(project / "out/tokenizer")}


def test_a_part_of_an_epoch_is_the_tasks_own_part(project: Path) -> None:
    spec = base(project, training={"max_steps": 3})
    wish = options(baselines=(Baseline.SINGLE,))
    directory = ComparisonDirectory(project / "out")
    with directory:
        directory.begin(spec, fresh=False)
        plan = plan_runs(spec, wish, make_arms(spec, wish), [7], directory, Reporter())
    for run in plan.runs[:2]:
        assert 0 < run.spec.training.epochs < 1
        assert run.steps <= 3


def test_ranks_are_those_of_scipy() -> None:
    losses = {
        "a": {"x": [1.0, 2.0], "y": [3.0, 3.0], "z": [0.5, 0.1]},
        "b": {"x": [1.0, 1.0], "y": [2.0, 4.0], "z": [0.6, 0.1]},
        "c": {"x": [5.0, 2.0], "y": [1.0, 5.0], "z": [0.7, 0.1]},
    }
    rounding = {**losses, "a": {**losses["a"], "z": [0.5, 0.1000001]}}
    assert mean_ranks(rounding) == mean_ranks(losses)
    columns = [[losses[arm][task][seed] for arm in losses] for task in "xyz" for seed in (0, 1)]
    direct = sum(rankdata(column) for column in columns) / 6
    assert list(mean_ranks(losses).values()) == pytest.approx(list(direct))
    assert mean_ranks({}) == {}


def test_a_baseline_is_without_the_combiner_of_the_spec(
    project: Path, install: Install, fresh_registry: None
) -> None:
    source = """
        import mftkit
        @mftkit.hookimpl
        def register_gradient_combiners(register):
            register("summed", Summed, summary="the plain sum")
        class Summed(mftkit.GradientCombiner):
            def combine(self, gradients, weights):
                return gradients.sum(0)
    """
    install("summed", {"summed": "mft_summed"}, {"mft_summed": source})
    spec = base(project, gradients="summed")
    arms = {arm.label: arm for arm in make_arms(spec, options(balancers=("equal",)))}
    mixed = run_spec(spec, arms["mixed"], 1, project / "out", None)
    assert (mixed.gradients, mixed.training.grouping) == (None, "none")
    other = run_spec(spec, arms["equal"], 1, project / "out", None)
    assert other.gradients is not None
    assert other.training.grouping == "task"


def test_a_single_model_is_best_by_the_metrics_that_it_has(project: Path) -> None:
    def of_single(best_by: Any, task: str) -> Any:
        spec = small_spec(training={"best_by": best_by})
        spec["tasks"][0]["evaluate"] = {"evaluators": ["exact-match"]}
        unseen = {"name": "unseen", "data": "data/small.jsonl", "evaluators": ["loss"]}
        spec["evaluation"] = {"every": 2, "tasks": [unseen]}
        loaded = mftkit.load_spec(spec, directory=project)
        (single,) = [arm for arm in make_arms(loaded, options()) if arm.is_single]
        made = single_spec(loaded, single, 0, project / "run", None, task, {})
        return made.training.best_by

    exact, loss = "exact-match/exact-match", "loss/loss"
    assert [of_single(exact, task) for task in ("big", "small")] == [exact, "loss"]
    assert [of_single(loss, task) for task in ("big", "small")] == [loss, loss]
    assert of_single({"unseen": loss}, "small") == {"unseen": loss}
    assert of_single({"big": exact}, "small") == "loss"
    assert of_single({"big": exact}, "big") == {"big": exact}


def test_single_models_without_the_metric_that_decides_are_reported(project: Path, tmp_path: Path) -> None:
    spec = small_spec(training={"best_by": "exact-match/exact-match"}, evaluation={"every": 2})
    spec["tasks"][0]["evaluate"] = {"evaluators": ["exact-match"]}
    loaded, wish, listener = mftkit.load_spec(spec, directory=project), options(), Recorder()
    with ComparisonDirectory(tmp_path / "out") as directory:
        directory.begin(loaded, fresh=False)
        plan_runs(loaded, wish, make_arms(loaded, wish), [7], directory, listener)
    (note,) = [note for note in listener.notes if "best_by" in note]
    assert note.startswith("single models of small: the loss decides which step is the best")
