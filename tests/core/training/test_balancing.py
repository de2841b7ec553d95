"""Which losses a balancer gets, and when; they are those of the model before and after a step."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import mftkit
from fixture_types import Install
from mftkit.plugins import installed
from mftkit.training.balancing import Balancing, extra_work
from small_runs import comparable, metrics, rows, small_spec, write_rows


class Asks(mftkit.Balancer):
    """Asks for the losses that it is made to ask for, and records what it gets."""

    def __init__(self, **asked: Any) -> None:
        super().__init__(mftkit.Options(), (mftkit.TaskInfo("a"),))
        for name, value in asked.items():
            setattr(self, name, value)
        self.calls: list[Any] = []

    def weights(self) -> torch.Tensor:
        self.calls.append("weights")
        return torch.ones(1)

    def prepare(self, step: int, train: torch.Tensor, valid: torch.Tensor | None) -> None:
        self.calls.append(("prepare", step, *of(train, valid)))

    def observe(self, step: int, train: torch.Tensor, valid: torch.Tensor | None) -> None:
        self.calls.append(("observe", step, *of(train, valid)))

    def compare(self, step: int, before: torch.Tensor, after: torch.Tensor) -> None:
        self.calls.append(("compare", step, *of(before, after)))


def of(*losses: torch.Tensor | None) -> list[Any]:
    return [None if loss is None else loss.item() for loss in losses]


def play(balancer: Asks, steps: int) -> tuple[Any, Any]:
    """Losses of a mini-batch are 100 * its number + the updates made; returns what was recorded and evaluated."""
    now, evaluated = 0, []

    def minibatch_losses(number: int, samples: int) -> torch.Tensor:
        evaluated.append((now, number, samples))
        return torch.tensor([100.0 * number + now])

    balancing = Balancing(balancer, 1, minibatch_losses)
    for step in range(1, steps + 1):
        now = step - 1
        balancing.before_step(step)
        balancing.weights(step, torch.tensor([-float(step)]) if balancing.needs_step_losses else None)
        now = step
        balancing.after_step(
            step,
            torch.tensor([-float(step)]),
            torch.tensor([0.5]) if balancing.needs_losses_after_update else None,
        )
    return [call for call in balancer.calls if call != "weights"], evaluated


def test_what_is_not_asked_for_is_not_evaluated() -> None:
    calls, evaluated = play(Asks(), 2)
    assert evaluated == []
    assert calls == [("observe", 1, -1, None), ("observe", 2, -2, None)]


@pytest.mark.parametrize(("reuse", "numbers"), [(1, [1, 2, 3]), (2, [0, 1, 1]), (0, [0, 0, 0])])
def test_validation_losses_at_the_end_of_each_interval_of_the_mini_batch_in_use(
    reuse: int, numbers: list[int]
) -> None:
    calls, evaluated = play(Asks(needs_validation=2, minibatch_reuse=reuse, validation_samples=5), 6)
    assert evaluated == [(step, number, 5) for step, number in zip((2, 4, 6), numbers, strict=True)]
    assert [valid for _, _, _, valid in calls] == [
        None, 100 * numbers[0] + 2, None, 100 * numbers[1] + 4, None, 100 * numbers[2] + 6
    ]  # fmt: skip


def test_one_mini_batch_before_and_after_each_step() -> None:
    calls, evaluated = play(Asks(needs_validation=1, compares="validation", minibatch_reuse=2), 4)
    compared = [call[1:] for call in calls if call[0] == "compare"]
    assert compared == [(1, 0, 1), (2, 1, 2), (3, 102, 103), (4, 103, 104)]
    # One evaluation per step, and one more when the next mini-batch begins.
    assert [(now, number) for now, number, _ in evaluated] == [(0, 0), (1, 0), (2, 0), (2, 1), (3, 1), (4, 1)]
    assert [call[3] for call in calls if call[0] == "observe"] == [1, 2, 103, 104]


def test_one_mini_batch_compared_over_several_steps() -> None:
    calls, evaluated = play(Asks(needs_validation=3, compares="validation", minibatch_reuse=1), 6)
    assert [call[1:] for call in calls if call[0] == "compare"] == [(3, 0, 3), (6, 103, 106)]
    assert [(now, number) for now, number, _ in evaluated] == [(0, 0), (3, 0), (3, 1), (6, 1)]


def test_the_steps_own_losses_come_before_its_weights() -> None:
    balancer = Asks(needs_validation=2, compares="validation", minibatch_reuse=0, needs_step_losses=True)
    play(balancer, 3)
    assert balancer.calls[:3] == [("prepare", 1, -1, 0), "weights", ("observe", 1, -1, None)]
    assert ("prepare", 2, -2, None) in balancer.calls, (
        "losses from before step 1 are not those of the weights of step 2"
    )
    assert ("prepare", 3, -3, 2) in balancer.calls


def test_the_steps_own_batch_again() -> None:
    calls, evaluated = play(Asks(compares="training"), 1)
    assert calls == [("observe", 1, -1, None), ("compare", 1, -1, 0.5)]
    assert evaluated == []


def test_the_losses_to_compare_with_are_part_of_the_state() -> None:
    def number_as_loss(number: int, _samples: int) -> torch.Tensor:
        return torch.tensor([float(number)])

    one = Balancing(Asks(needs_validation=2, compares="validation", minibatch_reuse=0), 1, number_as_loss)
    one.before_step(1)
    other_balancer = Asks(needs_validation=2, compares="validation", minibatch_reuse=0)
    other = Balancing(other_balancer, 1, lambda _number, _samples: torch.tensor([7.0]))
    state: Any = {**one.state_dict(), "stopped": [0]}  # which earlier versions kept here, too
    other.load_state_dict(state)
    other.before_step(2)
    other.after_step(2, torch.tensor([1.0]), None)
    assert other_balancer.calls[-1] == ("compare", 2, 0.0, 7.0)


def test_the_work_it_makes() -> None:
    assert extra_work(Asks(), 10, 100, accumulates=True) == 0
    assert extra_work(Asks(needs_step_losses=True), 10, 100, accumulates=False) == 0
    assert extra_work(
        Asks(needs_step_losses=True, compares="training"), 10, 100, accumulates=True
    ) == pytest.approx(2 / 3)
    assert extra_work(Asks(needs_validation=5), 30, 100, accumulates=True) == pytest.approx(0.02)
    held = Asks(needs_validation=5, compares="validation", minibatch_reuse=2)
    assert extra_work(held, 30, 100, accumulates=True) == pytest.approx(0.03)


SPY = """
import json, pathlib
import mftkit, torch

@mftkit.hookimpl
def register_balancers(register):
    register("spy", Spy, summary="records all losses that it gets")

class Spy(mftkit.Balancer):
    class Options(mftkit.Options):
        compares: str
        validates: int = 0

    needs_step_losses = True

    def __init__(self, options, tasks):
        super().__init__(options, tasks)
        self.compares, self.needs_validation = options.compares, options.validates

    def record(self, event, step, *losses):
        with pathlib.Path("calls.jsonl").open("a") as file:
            print(json.dumps([event, step, *(None if x is None else x.tolist() for x in losses)]), file=file)

    def weights(self):
        return torch.ones(len(self.tasks))

    def prepare(self, step, train, valid):
        self.record("prepare", step, train, valid)

    def observe(self, step, train, valid):
        self.record("observe", step, train, valid)

    def compare(self, step, before, after):
        self.record("compare", step, before, after)
"""


@pytest.fixture
def spy(install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The balancer above, from its own distribution, in a directory with two tasks' data."""
    site = install("mft-spy", {"spy": "mft_spy"}, {"mft_spy": SPY})
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=":")
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "data" / "big.jsonl", rows("big", 120))
    write_rows(tmp_path / "data" / "small.jsonl", rows("small", 40))
    installed.registry.cache_clear()
    yield tmp_path
    installed.registry.cache_clear()


def recorded(directory: Path) -> list[list[Any]]:
    return [json.loads(line) for line in (directory / "calls.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("micro", [4, 16])
def test_training_losses_before_and_after_with_the_same_dropout(spy: Path, micro: int) -> None:
    """The learning rate is too small to change anything, so a difference would be due to the masks or the batch."""
    training = {
        "max_steps": 2,
        "learning_rate": 1e-30,
        "min_learning_rate": 0.0,
        "weight_decay": 0,
        "warmup": 0,
        "micro_batch_size": micro,
    }
    spec = small_spec(balancer={"name": "spy", "options": {"compares": "training"}}, training=training)
    spec["model"]["config"]["attention_dropout"] = 0.3
    mftkit.run(mftkit.load_spec(spec, directory=spy))
    calls = recorded(spy)
    assert [event for event, *_ in calls] == ["prepare", "observe", "compare"] * 2
    for (_, _, prepared, _), (_, _, observed, _), (_, _, before, after) in zip(
        *[iter(calls)] * 3, strict=True
    ):
        assert prepared == observed == before == after


def test_an_update_shows_and_the_next_step_is_that_of_a_run_without_the_comparison(spy: Path) -> None:
    losses: list[Any] = []
    for balancer in ({"name": "spy", "options": {"compares": "training"}}, "equal"):
        spec = small_spec(
            balancer=balancer, training={"max_steps": 4, "log_every": 1}, output=f"run{len(losses)}"
        )
        spec["model"]["config"]["attention_dropout"] = 0.3
        mftkit.run(mftkit.load_spec(spec, directory=spy))
        losses.append(comparable(metrics(spy / f"run{len(losses)}")))
    assert losses[0] == losses[1], "a second forward pass draws no other dropout masks"
    compared = [(before, after) for event, _, before, after in recorded(spy) if event == "compare"]
    assert len(compared) == 4
    assert all(after != before for before, after in compared)
    assert sum(after[0] < before[0] for before, after in compared) >= 3


def test_validation_losses_before_and_after_are_those_of_the_valid_lines_moments(spy: Path) -> None:
    options = {"compares": "validation", "validates": 2}
    spec = small_spec(balancer={"name": "spy", "options": options}, training={"max_steps": 4})
    mftkit.run(mftkit.load_spec(spec, directory=spy))
    calls = recorded(spy)
    prepared = {step: valid for event, step, _, valid in calls if event == "prepare"}
    compared = {step: (before, after) for event, step, before, after in calls if event == "compare"}
    observed = {step: valid for event, step, _, valid in calls if event == "observe"}
    assert compared.keys() == {2, 4}
    assert prepared[1] == compared[2][0]
    assert prepared[3] == compared[4][0]
    assert prepared[2] is None
    assert observed[2] == compared[2][1]
    assert compared[2][1] < compared[2][0]


@pytest.mark.parametrize("given", [None, [1.0], {"a": "high"}, {"a": torch.ones(2)}])
def test_metrics_that_are_no_numbers_are_refused(given: Any) -> None:
    class Odd(mftkit.Balancer):
        def weights(self) -> Any:
            return torch.ones(1)

        def metrics(self) -> Any:
            return given

    balancing = Balancing(Odd(mftkit.Options()), 1, lambda *_: torch.ones(1))
    with pytest.raises(mftkit.MftError, match=r"Odd\.metrics\(\) must return a dict of names to numbers"):
        balancing.metrics()
