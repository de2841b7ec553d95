"""Balancers that learn, in real runs: with every loss, resumed, with tasks that are absent or have no validation."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import mftkit
from adaptive_balancers import ADAPTIVE
from mftkit.reporting.reporter import Reporter
from small_runs import comparable, metrics, rows, small_spec, write_rows

LOSSES = ["token-balanced", "sample-balanced", "sample-focal", "task-focal", "mixed"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task of many rows, and one of so few that most steps are without it."""
    directory = tmp_path_factory.mktemp("balancers")
    write_rows(directory / "data" / "big.jsonl", rows("big", 110))
    write_rows(directory / "data" / "small.jsonl", rows("small", 14))
    return directory


def load(data: Path, output: Any, *, loss: str = "token-balanced", balancer: Any, **training: Any) -> Any:
    usual = {"max_steps": 4, "log_every": 1, "evaluate_every": 100, "checkpoint_every": 100, "batch_size": 8}
    spec = small_spec(
        loss=loss,
        balancer=balancer,
        output=output,
        training={**usual, "micro_batch_size": 4, **training},
        tokenization={"name": "dynamic-padding"},
    )
    spec["tasks"][0]["valid"] = 0.04
    return mftkit.load_spec(spec, directory=data)


def lines(run: Path, event: str) -> Any:
    return [line for line in metrics(run) if line["event"] == event]


@pytest.mark.long
@pytest.mark.parametrize("loss", LOSSES)
def test_every_balancer_trains_with_every_loss(data: Path, loss: Any) -> None:
    absent = 0
    for name, balancer in ADAPTIVE.items():
        output = f"{loss}-{name}"
        outcome = mftkit.run(load(data, output, loss=loss, balancer=balancer))
        assert outcome.reason == "finished", name
        trained = [line["tasks"] for line in lines(data / output, "train")]
        weights = torch.tensor([[task["weight"] for task in tasks.values()] for tasks in trained])
        assert (weights > 0).all(), name
        torch.testing.assert_close(weights.mean(1), torch.ones(4))
        assert weights[0].tolist() == [1, 1] or name == "famo-training"
        assert weights[-1].tolist() != [1, 1], f"{name} does not move"
        absent += sum(task["loss"] is None for tasks in trained for task in tasks.values())
    assert absent, "some step was without a task"


@pytest.mark.long
@pytest.mark.parametrize("name", ADAPTIVE)
def test_resumed_it_gives_what_an_uninterrupted_run_gives_bit_for_bit(data: Path, name: str) -> None:
    """Dropout on, two micro-batches a step; cut off after step 3 of 7, as by a kill."""
    more: dict[str, Any] = {"max_steps": 7, "checkpoint_every": 3, "keep_checkpoints": 9}
    spec = load(data, f"whole-{name}", balancer=ADAPTIVE[name], **more)
    mftkit.run(spec)
    run, kept = data / f"whole-{name}", data / f"kept-{name}"
    shutil.copytree(run, kept)
    for later in ("step-00000006", "step-00000007"):
        shutil.rmtree(run / "checkpoints" / later)
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["step-00000003"]
    shutil.rmtree(run / "model")
    left = [line for line in metrics(run) if line["event"] != "end"]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in left))
    assert mftkit.run(spec).step == 7
    assert comparable(metrics(run)) == comparable(metrics(kept))
    mine, theirs = (load_file(each / "model" / "model.safetensors") for each in (run, kept))
    assert all(torch.equal(mine[key], theirs[key]) for key in theirs)
    states = [
        torch.load(each / "checkpoints" / "step-00000007" / "state.pt", weights_only=True)["balancing"]
        for each in (run, kept)
    ]
    assert str(states[0]) == str(states[1])


@pytest.mark.parametrize("name", ["coba", "famo"])
def test_without_validation_samples_it_is_refused_before_training(data: Path, name: str) -> None:
    spec = load(data, "refused", balancer=name)
    spec = spec.model_copy(update={"tasks": [spec.tasks[0], spec.tasks[1].model_copy(update={"valid": 0.0})]})
    with pytest.raises(mftkit.MftError, match=f"balancer: {name} needs validation samples.*: small"):
        mftkit.run(spec, dry_run=True)
    assert not (data / "refused").exists()


class Notes(Reporter):
    def planned(self, plan: Any) -> None:
        self.notes = plan.notes


@pytest.mark.parametrize(
    ("balancer", "loss", "least", "most"),
    [
        # Two tasks, two samples each, of about the length of the training samples, of which a step has eight:
        # a forward pass, a third of a step's arithmetic, over 4 / 8 of a step, every 5 steps.
        ("coba", "token-balanced", 0.02, 0.05),
        # the same, and a fifth more for the losses of the next mini-batch to hold
        ("famo", "token-balanced", 0.024, 0.06),
        # two forward passes; of which a loss that is not linear makes one anyway
        ({"name": "famo", "options": {"losses": "training"}}, "token-balanced", 0.66, 0.67),
        ({"name": "famo", "options": {"losses": "training"}}, "task-focal", 0.33, 0.34),
    ],
)
def test_the_plan_tells_what_it_costs(data: Path, balancer: Any, loss: Any, least: Any, most: Any) -> None:
    notes = Notes()
    mftkit.run(load(data, "planned", balancer=balancer, loss=loss), dry_run=True, reporter=notes)
    (told,) = [note for note in notes.notes if note.startswith("balancer ")]
    share = float(told.split("about ")[1].split(" %")[0]) / 100
    assert least <= share <= most, told


@pytest.mark.parametrize("name", ["uncertainty", "dwa", "dro"])
def test_the_plan_tells_no_cost_of_one_that_has_none(data: Path, name: str) -> None:
    notes = Notes()
    mftkit.run(load(data, "planned", balancer=name), dry_run=True, reporter=notes)
    assert not [note for note in notes.notes if note.startswith("balancer ")]


def test_a_bound_that_a_loss_reaches_ends_the_run_and_says_how_to_fix_it(data: Path) -> None:
    options = {"losses": "training", "lower_bounds": {"big": 5.5}}
    with pytest.raises(
        mftkit.MftError, match=r"lower_bounds: .* 'big' \(5\.[0-9]+, not above 5\.5\).*fresh=True"
    ):
        mftkit.run(load(data, "bound", balancer={"name": "famo", "options": options}, max_steps=20))
    assert metrics(data / "bound")[-1]["reason"] == "failed"
    assert not list((data / "bound" / "checkpoints").glob("step-*"))
