"""A valid line is the exact token mean of the whole validation set; mini-batches go round it."""

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import mftkit
from fixture_types import Install
from mftkit.reporting.reporter import Reporter
from mftkit.training.run_parts import Run
from mftkit.training.setup import build_run, check_run
from mftkit.training.validation import Validator
from small_runs import metrics, rows, small_spec, write_rows


@pytest.fixture
def run(tmp_path: Path) -> Run:
    write_rows(tmp_path / "data" / "big.jsonl", rows("big", 120))
    write_rows(tmp_path / "data" / "small.jsonl", rows("small", 40))
    spec = small_spec(tokenization={"name": "pack", "options": {"attention": "shared"}})
    return build_run(check_run(mftkit.load_spec(spec, directory=tmp_path), Reporter()))


def alone(run: Run, sample: mftkit.Sample) -> float:
    """Sum of -log p over a sample's loss tokens: the plain model, the sample by itself, all logits."""
    ids = torch.from_numpy(sample.tokens.astype(np.int64))[None]
    with torch.no_grad():
        logits = run.model.eval()(input_ids=ids, use_cache=False).logits.double()
    logprobs = logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None]).squeeze(1)
    return -float(logprobs[torch.from_numpy(sample.loss_mask[1:].copy())].sum())


def test_losses_are_those_of_each_sample_alone(run: Run) -> None:
    valid = run.checked.corpus.valid
    expected = np.zeros(2)
    for i in range(len(valid)):
        expected[valid[i].task] += alone(run, valid[i])
    nll, tokens = run.validator.losses(run.logprob_model)
    assert nll == pytest.approx(expected, rel=1e-5)
    assert tokens.tolist() == [
        sum(valid[i].loss_mask.sum() for i in range(len(valid)) if valid[i].task == t) for t in (0, 1)
    ]
    assert run.logprob_model.training


def as_process(validator: Validator, rank: int, count: int, rows: int) -> Validator:
    """The validator of one of several processes, whose sums are added up by the test."""
    batcher = validator._batcher
    processes: Any = SimpleNamespace(
        rank=rank, count=count, device=batcher.processes.device, sum=lambda tensor: tensor
    )
    return Validator(
        validator.samples,
        2,
        dataclasses.replace(batcher, processes=processes, micro_batch_size=rows),
        torch.float64,
    )


def test_processes_share_the_work_and_run_equally_many_batches(run: Run) -> None:
    validator = run.validator
    whole, _ = validator.losses(run.logprob_model)
    each = [as_process(validator, rank, 3, rows=2) for rank in range(3)]
    passes = [len(list(mine._batches(np.arange(len(validator.samples))))) for mine in each]
    assert len(set(passes)) == 1
    assert np.sum([mine.losses(run.logprob_model)[0] for mine in each], axis=0) == pytest.approx(
        whole, rel=1e-6
    )


def test_minibatches_go_round_each_task(run: Run) -> None:
    validator, valid = run.validator, run.checked.corpus.valid
    of_task = [np.flatnonzero(valid.task == task) for task in (0, 1)]
    seen = [validator._members(number, 2) for number in range(len(of_task[0]))]
    assert all(np.bincount(valid.task[members]).tolist() == [2, 2] for members in seen)
    counts = np.bincount(np.concatenate(seen), minlength=len(valid))
    assert counts[of_task[0]].min() > 0
    assert counts[of_task[0]].max() - counts[of_task[0]].min() <= 1


def test_a_minibatch_gives_the_losses_of_the_runs_loss(run: Run) -> None:
    valid = run.checked.corpus.valid
    members = run.validator._members(0, 3)
    losses = run.validator.minibatch_losses(run.logprob_model, run.checked.objective, 0, 3)
    for task in (0, 1):
        chosen = [valid[int(i)] for i in members if valid.task[i] == task]
        nll = sum(alone(run, sample) for sample in chosen)
        assert float(losses[task]) == pytest.approx(nll / sum(s.loss_mask.sum() for s in chosen), rel=1e-5)


BALANCER = """
import mftkit, torch

@mftkit.hookimpl
def register_balancers(register):
    register("watcher", Watcher, summary="weighs by what it last saw in validation")

class Watcher(mftkit.Balancer):
    needs_validation = 2
    validation_samples = 3

    def __init__(self, options, tasks):
        super().__init__(options, tasks)
        self.seen = torch.ones(len(tasks), dtype=torch.float64)

    def weights(self):
        return self.seen

    def observe(self, step, train, valid):
        assert train.dtype == torch.float64
        assert (valid is not None) == (step % 2 == 0)
        if valid is not None:
            self.seen = valid

    def state_dict(self):
        return {"seen": self.seen}

    def load_state_dict(self, state):
        self.seen = state["seen"]
"""


@pytest.fixture
def watcher(install: Install, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The balancer above, from a distribution of its own."""
    from mftkit.plugins import installed

    site = install("mft-watcher", {"watcher": "mft_watcher"}, {"mft_watcher": BALANCER})
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=":")
    installed.registry.cache_clear()
    yield
    installed.registry.cache_clear()


@pytest.mark.usefixtures("watcher")
def test_a_balancer_that_needs_validation_gets_it_and_its_weights_count(tmp_path: Path) -> None:
    write_rows(tmp_path / "data" / "big.jsonl", rows("big", 120))
    write_rows(tmp_path / "data" / "small.jsonl", rows("small", 40))
    spec = small_spec(balancer="watcher", training={"max_steps": 5, "log_every": 1, "checkpoint_every": 2})
    mftkit.run(mftkit.load_spec(spec, directory=tmp_path))
    trained = [line for line in metrics(tmp_path / "run") if line["event"] == "train"]
    weights = [[task["weight"] for task in line["tasks"].values()] for line in trained]
    assert weights[0] == weights[1] == [1, 1]
    assert weights[2] != [1, 1]
    assert all(math.isclose(sum(pair), 2) for pair in weights)


@pytest.mark.usefixtures("watcher")
def test_a_balancer_that_needs_validation_is_refused_without(tmp_path: Path) -> None:
    write_rows(tmp_path / "data" / "big.jsonl", rows("big", 30))
    write_rows(tmp_path / "data" / "small.jsonl", rows("small", 30))
    spec = small_spec(balancer="watcher")
    spec["tasks"][1]["valid"] = 0
    with pytest.raises(
        mftkit.MftError, match="watcher needs validation samples, and these tasks have none: small"
    ):
        mftkit.run(mftkit.load_spec(spec, directory=tmp_path))
