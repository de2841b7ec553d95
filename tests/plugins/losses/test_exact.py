"""The training step with every loss, against its formula written down directly: each sample alone, with full
logits, in float64."""

from dataclasses import dataclass
from functools import cache
from typing import Any, cast
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

import mftkit
from loss_formulas import ALPHA, COUNT, GAMMA, NAMES, STEPS_PER_EPOCH, TASKS, formula
from mftkit.batches.batcher import Batcher
from mftkit.batches.collate import collate
from mftkit.batches.sampler import GlobalBatch
from mftkit.plugins import installed, kinds
from mftkit.training.balancing import Balancing
from mftkit.training.logprob_model import LogprobModel
from mftkit.training.loss_checks import check_loss
from mftkit.training.meter import Meter
from mftkit.training.objective import Objective
from mftkit.training.step_result import StepResult
from mftkit.training.train_step import TrainStep
from mftkit_registry import MftError
from sample_lists import SampleList
from thread_processes import GradientRecorder, in_threads

WEIGHTS = torch.tensor([0.5, 2.0, 1.0, 3.0], dtype=torch.float64)
# Tasks of the samples of each of five rows: "rare" lies in one row only, "gone" in none.
PACKED = ((2, 2, 1), (1, 2), (0, 0, 2), (2, 1), (2,))
PADDED = ((2,), (1,), (0,), (2,), (1,))
LAYOUTS = {"pack": PACKED, "padding": PADDED}
ROW_WEIGHTS = (2.0, 1.0, 0.0, 0.5)
MAX_LENGTH = 32


# fmt: off
class TokenSquare(mftkit.Loss):  # the plugin author's example, as it stands
    linear = True                         # task_losses is linear in the statistics
    class Options(mftkit.Options):        # a Pydantic model, extra keys forbidden; the instance is self.options
        scale: float = 1.0

    def statistics(self, tokens: mftkit.Tokens) -> torch.Tensor:         # additive over micro-batches and processes; returns [tasks, k]
        s = tokens.logprobs.new_zeros(tokens.num_tasks, 1)
        return s.index_add(0, tokens.task, self.options.scale * tokens.logprobs.square().unsqueeze(1))

    def task_losses(self, totals: mftkit.Totals) -> torch.Tensor:        # from the global batch's sums to one loss per task; returns [tasks]
        return totals.statistics[:, 0] / totals.tokens.clamp(min=1)
# fmt: on


class Root(mftkit.Loss):
    """A stranger's loss that is not linear, and whose slope is infinite for an absent task."""

    def statistics(self, tokens: mftkit.Tokens) -> torch.Tensor:
        zeros = tokens.logprobs.new_zeros(tokens.num_tasks, 1)
        return zeros.index_add(0, tokens.task, -tokens.logprobs.unsqueeze(1))

    def task_losses(self, totals: mftkit.Totals) -> torch.Tensor:
        return (totals.statistics[:, 0] / totals.tokens.clamp(min=1)).sqrt()


STRANGERS = {"token-square": TokenSquare, "root": Root}
FOCAL = {"gamma": GAMMA, "alpha": ALPHA}
LOSSES: dict[str, dict[str, Any]] = {
    "token-balanced": {},
    "sample-balanced": {},
    "sample-focal": FOCAL,
    "task-focal": FOCAL,
    "mixed": {},
    "token-square": {},
    "root": {},
}
LINEAR = [name for name in LOSSES if name not in ("task-focal", "root")]


def build(name: str, options: dict[str, Any] | None = None) -> Any:
    options = LOSSES[name] if options is None else options
    if name in STRANGERS:
        kind = STRANGERS[name]
        return kind(kind.Options(**options), TASKS)
    return installed.build(kinds.LOSS, name, options, TASKS)


def no_validation(_step: int, _number: int) -> torch.Tensor:
    raise AssertionError("no balancer here reads validation losses")


def tiny_llama(dtype: torch.dtype = torch.float64, dropout: float = 0.0) -> PreTrainedModel:
    torch.manual_seed(3)
    config = LlamaConfig(  # type: ignore[call-arg]
        vocab_size=37,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        initializer_range=0.4,
        attention_dropout=dropout,
        attn_implementation="sdpa",
    )
    model: Any = LlamaForCausalLM(config).train()
    found: PreTrainedModel = model.to(dtype)
    return found


def make_rows(layout: tuple[Any, ...], weighed: bool = False) -> tuple[Any, ...]:
    generator = np.random.default_rng(11)
    rows, index = [], 0
    for row in layout:
        members = []
        for task in row:
            length = int(generator.integers(3, 10))
            counts = generator.random(length) < 0.7
            counts[-1] = True
            tokens = generator.integers(0, 37, length).astype(np.int32)
            weight = ROW_WEIGHTS[index % len(ROW_WEIGHTS)] if weighed else 1.0
            members.append(mftkit.Sample(index, task, tokens, counts, weight))
            index += 1
        rows.append(tuple(members))
    return tuple(rows)


def alone(model: PreTrainedModel, rows: tuple[Any, ...]) -> list[list[torch.Tensor]]:
    """``lps[i][j]``, each sample in a forward pass of its own, with full logits."""
    lps: list[list[torch.Tensor]] = [[] for _ in NAMES]
    for sample in [sample for row in rows for sample in row]:
        ids = torch.tensor(sample.tokens, dtype=torch.int64)
        logprobs = torch.log_softmax(model(input_ids=ids[None], use_cache=False).logits[0], -1)
        lps[sample.task].append(
            torch.stack([logprobs[k - 1, ids[k]] for k in range(1, len(ids)) if sample.loss_mask[k]])
        )
    return lps


def make_step(rows: tuple[Any, ...], num_tasks: int = COUNT) -> GlobalBatch:
    """The step that trains all rows at once, whose samples are numbered in order."""
    samples = [sample for row in rows for sample in row]
    ends = np.cumsum([len(row) for row in rows])
    task = np.array([sample.task for sample in samples])
    counting = np.array([sample.loss_mask[1:].sum() for sample in samples])
    return GlobalBatch(
        number=1,
        epoch=0,
        ends_epoch=True,
        rows=np.split(np.arange(len(samples)), ends[:-1]),
        tokens=np.bincount(task, counting, num_tasks).astype(np.float64),
        samples=np.bincount(task, None, num_tasks).astype(np.float64),
    )


@dataclass
class Trained:
    """What one process's step left behind."""

    result: StepResult
    gradients: list[torch.Tensor]
    scored: list[Any]
    """Counting tokens of each forward pass."""
    reductions: int


class Given(mftkit.Balancer):
    """Weights as they were given."""

    def weights(self) -> Any:
        return self.options


def scorer_of(model: PreTrainedModel) -> LogprobModel:
    return LogprobModel(
        model, installed.build(kinds.MODEL_ADAPTER, "llama", {}), installed.build(kinds.TUNING, "full", {})
    )


def train(
    objective: Objective,
    rows: tuple[Any, ...],
    *,
    micro: int,
    processes: int = 1,
    mode: str = "pack",
    weights: torch.Tensor = WEIGHTS,
    **model: Any,
) -> list[Trained]:
    """One step of the real runner in each process, with the random numbers that are next."""
    state = torch.get_rng_state()
    samples = [sample for row in rows for sample in row]
    collating = installed.build(kinds.TOKENIZATION_MODE, mode, {})
    models = [tiny_llama(**model) for _ in range(processes)]
    torch.set_rng_state(state)

    def work(process: Any) -> Any:
        scored = []
        scorer = scorer_of(models[process.rank])
        scorer.register_forward_pre_hook(lambda _module, batch: scored.append(len(batch[0].targets)))
        optimizer = GradientRecorder(scorer.parameters())
        passes = Batcher(process, micro, MAX_LENGTH, pad_id=0)
        runner = TrainStep(
            scorer,
            cast(Any, SampleList(samples)),
            collating,
            objective,
            Balancing(Given(weights), objective.num_tasks, no_validation),
            process.engine(scorer, optimizer),
            passes,
            None,
        )
        meter = Meter(objective.num_tasks, process.device, objective.dtype)
        result = runner(make_step(rows, objective.num_tasks), 0.0, meter)
        (gradients,) = optimizer.steps
        return Trained(result, gradients, scored, process.reductions)

    return in_threads(processes, work)


@cache
def expected(
    name: str,
    layout: tuple[Any, ...],
    task_mean: Any = "present",
    dtype: torch.dtype = torch.float64,
    *,
    weighed: bool = False,
) -> list[torch.Tensor]:
    """Value and gradients of the formula; the model's weights are rounded to ``dtype``."""
    model = tiny_llama(dtype).double()
    return by_formula(name, model, make_rows(layout, weighed), task_mean)


def by_formula(
    name: str, model: PreTrainedModel, rows: tuple[Any, ...], task_mean: Any = "present"
) -> list[torch.Tensor]:
    samples = [sample for row in rows for sample in row]
    row_weights = [[sample.weight for sample in samples if sample.task == task] for task in range(COUNT)]
    value = formula(name, alone(model, rows), WEIGHTS / WEIGHTS.mean(), task_mean, row_weights)
    value.backward()
    return [value.detach(), *(p.grad for p in model.parameters())]


def assert_near(found: list[torch.Tensor], reference: list[torch.Tensor], rtol: float) -> None:
    """Each tensor to ``rtol`` of its own largest number."""
    for mine, right in zip(found, reference, strict=True):
        error = (mine.double() - right).abs().max() / right.abs().max()
        assert error < rtol, float(error)


def assert_exact(
    name: str, *, task_mean: Any="present", objective: Objective | None=None, mode: str="pack", rtol: float=1e-12, dtype: torch.dtype=torch.float64,
    weighed: bool=False, **how: Any
) -> list[Trained]:  # fmt: skip
    layout = LAYOUTS[mode]
    objective = objective or Objective(build(name), len(NAMES), task_mean)
    every = train(objective, make_rows(layout, weighed), mode=mode, dtype=dtype, **how)
    present = {task for row in layout for task in row}
    for one in every:
        found = [one.result.objective, *one.gradients]
        assert_near(found, expected(name, layout, task_mean, dtype, weighed=weighed), rtol)
        losses = one.result.task_losses
        assert [bool(loss == loss) for loss in losses] == [i in present for i in range(len(NAMES))]
        assert one.reductions == 1
    return every


@pytest.mark.parametrize("mode", LAYOUTS)
@pytest.mark.parametrize("micro", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", LOSSES)
def test_any_split_into_micro_batches(name: str, micro: int, mode: str) -> None:
    """Of five rows: 1 1 1 1 1, 2 1 2, 2 3, 2 3 and all at once."""
    assert_exact(name, micro=micro, mode=mode)


@pytest.mark.parametrize(("processes", "micro"), [(2, 1), (2, 2), (2, 3), (4, 1), (8, 1)])
@pytest.mark.parametrize("name", LOSSES)
def test_processes_with_unlike_shares(name: str, processes: int, micro: int) -> None:
    """Also one pass each, and processes that run a pass without a counting token.

    Powers of two: Llama's norms round in float32, and a gradient three times as large rounds to other numbers.
    """
    every = assert_exact(name, micro=micro, processes=processes)
    assert len({len(one.scored) for one in every}) == 1
    assert any(0 in one.scored for one in every) == ((processes, micro) in [(2, 1), (4, 1), (8, 1)])


WEIGHING = [name for name in LOSSES if name not in STRANGERS]


@pytest.mark.parametrize(("micro", "processes"), [(1, 1), (2, 1), (5, 1), (2, 2), (1, 4)])
@pytest.mark.parametrize("name", WEIGHING)
def test_row_weights(name: str, micro: int, processes: int) -> None:
    """Weights of 2, 1, 0 and 1/2; counts stay counts."""
    assert build(name).reads_sample_weights
    assert_exact(name, micro=micro, processes=processes, weighed=True)


@pytest.mark.parametrize("name", [name for name in WEIGHING if name in LINEAR])
def test_row_weights_under_the_data_sets_mean(name: str) -> None:
    objective = Objective(build(name), len(NAMES), "dataset", steps_per_epoch=STEPS_PER_EPOCH)
    assert_exact(name, task_mean="dataset", objective=objective, micro=2, weighed=True)


@pytest.mark.parametrize("name", LOSSES)
def test_a_sample_that_comes_twice_counts_twice(name: str) -> None:
    """As mixing has it: in one row, and in another."""
    rows = make_rows(PACKED, weighed=name in WEIGHING)
    rows = (rows[0] + rows[0][:1], *rows[1:], rows[0][1:])
    (one,) = train(Objective(build(name), len(NAMES)), rows, micro=2)
    assert_near([one.result.objective, *one.gradients], by_formula(name, tiny_llama(), rows), 1e-12)


@pytest.mark.parametrize("task_mean", ["all", "dataset"])
@pytest.mark.parametrize("name", LOSSES)
def test_other_means_over_tasks(name: str, task_mean: Any) -> None:
    if task_mean == "dataset" and name not in LINEAR:
        with pytest.raises(MftError, match=r'training\.task_mean: "dataset".*linear'):
            Objective(build(name), len(NAMES), task_mean)
        return
    objective = Objective(build(name), len(NAMES), task_mean, steps_per_epoch=STEPS_PER_EPOCH)
    assert_exact(name, task_mean=task_mean, objective=objective, micro=2)


@pytest.mark.parametrize("name", LOSSES)
def test_float32(name: str) -> None:
    assert_exact(name, micro=2, rtol=1e-5, dtype=torch.float32)


@pytest.mark.parametrize("name", LOSSES)
def test_a_first_pass_only_where_the_slopes_need_one(name: str) -> None:
    for micro, passes in ((5, 1), (2, 3)):
        (one,) = train(Objective(build(name), len(NAMES)), make_rows(PACKED), micro=micro)
        assert len(one.scored) == (passes if name in LINEAR or passes == 1 else 2 * passes)


@pytest.mark.parametrize("name", LOSSES)
def test_statistics_are_computed_once_with_or_without_a_first_pass(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once more for a loss that is linear in log-probabilities: its gradient is computed before they are known."""
    objective = Objective(build(name), len(NAMES))
    loss = objective.loss
    statistics = Mock(wraps=loss.statistics)
    monkeypatch.setattr(loss, "statistics", statistics)
    train(objective, make_rows(PACKED), micro=2)
    assert statistics.call_count == 3 * (2 if loss.linear_in_logprobs else 1)


@pytest.mark.parametrize("name", ["task-focal", "root"])
def test_first_pass_draws_the_same_dropout(name: str) -> None:
    """Against one graph over all micro-batches, differentiated as a whole, with the same masks."""
    rows, objective = make_rows(PACKED), Objective(build(name), len(NAMES))
    step, samples = make_step(rows), [sample for row in rows for sample in row]
    counts = objective.counts(step.tokens, step.samples)
    batches = [
        collate(mftkit.MicroBatch(tuple(tuple(samples[i] for i in row) for row in part), MAX_LENGTH, 0))
        for part in step.micro_batches(2, 0, 1)
    ]
    model = tiny_llama(dropout=0.1)
    scorer = scorer_of(model)

    def totals() -> Any:
        return sum(objective.statistics(scorer(batch)[0], batch) for batch in batches)

    torch.manual_seed(9)
    start = torch.get_rng_state()
    dropped = totals()
    after = torch.get_rng_state()
    assert not torch.allclose(dropped, totals(), rtol=1e-3), "other masks must give other sums"
    whole = objective.loss.task_losses(mftkit.Totals(dropped, counts.tokens, counts.samples, counts.present))
    value = (WEIGHTS / WEIGHTS.mean() * whole)[counts.present].sum() / 3
    value.backward()
    torch.set_rng_state(start)
    (one,) = train(objective, rows, micro=2, dropout=0.1)
    assert len(one.scored) == 2 * len(batches)
    assert_near(
        [one.result.objective, *one.gradients],
        [value.detach(), *(p.grad for p in model.parameters() if p.grad is not None)],
        1e-12,
    )
    assert torch.equal(torch.get_rng_state(), after)


@pytest.mark.parametrize("micro", [1, 2, 4])
def test_mixed_on_one_task_is_the_loss_of_transformers(micro: int) -> None:
    rows = make_rows(((0,), (0,), (0,), (0,)))
    whole = collate(mftkit.MicroBatch(rows, max_length=MAX_LENGTH, pad_id=0))
    labels = torch.full_like(whole.input_ids, -100).flatten()
    labels[whole.predictor_index + 1] = whole.targets
    reference = tiny_llama()
    loss = reference(input_ids=whole.input_ids, labels=labels.view_as(whole.input_ids), use_cache=False).loss
    loss.backward()
    (one,) = train(Objective(build("mixed"), 1), rows, micro=micro, weights=torch.ones(1))
    right = [loss.detach().double(), *(p.grad for p in reference.parameters())]
    assert_near([one.result.objective, *one.gradients], right, 2e-6)  # transformers takes the loss in float32


@pytest.mark.parametrize("focal", ["sample-focal", "task-focal"])
def test_gamma_zero_is_no_focus(focal: str) -> None:
    """Each task by itself, as the tasks' shares of the objective differ."""
    for task in range(3):
        weights = torch.eye(len(NAMES))[task]
        losses = [
            train(Objective(build(name, options), len(NAMES)), make_rows(PACKED), micro=2, weights=weights)[0]
            for name, options in ((focal, {"gamma": 0.0}), ("sample-balanced", {}))
        ]
        mine, plain = ([loss.result.objective, *loss.gradients] for loss in losses)
        factor = plain[0] / mine[0]
        assert_near([tensor * factor for tensor in mine], plain, 2e-6)  # Llama's norms round in float32
        of_tasks = [loss.result.task_losses[:3] for loss in losses]
        assert_near(of_tasks[:1], of_tasks[1:], 1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_promises_are_kept(name: str) -> None:
    for num_tasks in (1, 4, 50):
        tasks = tuple(mftkit.TaskInfo(f"{i}") for i in range(num_tasks))
        kind = type(build(name))
        check_loss(kind(kind.Options(), tasks), num_tasks)
    assert build(name).linear == (name in LINEAR)
    assert build(name).linear_in_logprobs == (name in ("token-balanced", "sample-balanced", "mixed"))
