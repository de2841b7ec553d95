"""One gradient a task: exact whatever the split, and what is made of them is what the optimizer gets."""

from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

import mftkit
from mftkit.batches.batcher import Batcher
from mftkit.batches.sampler import BatchSampler, GlobalBatch
from mftkit.plugins import installed, kinds
from mftkit.training.balancing import Balancing
from mftkit.training.coefficients import Coefficients
from mftkit.training.gradients import PerTaskGradients, describe_memory, make_gradients
from mftkit.training.logprob_model import LogprobModel
from mftkit.training.meter import Meter
from mftkit.training.nonfinite import NonFiniteLossError
from mftkit.training.objective import Objective
from mftkit.training.train_step import TrainStep
from mftkit_registry import MftError
from sample_lists import SampleList
from thread_processes import GradientRecorder, in_threads

TASKS = tuple(mftkit.TaskInfo(name) for name in ("a", "b", "c", "absent"))
WEIGHTS = torch.tensor([0.5, 1.0, 2.0, 0.5], dtype=torch.float64)
OF_SAMPLE = [0, 1, 0, 2, 0, 0, 1, 0, 2]
LOSSES = ["token-balanced", "sample-focal", "task-focal", "mixed"]


def no_validation(_step: int, _number: int) -> torch.Tensor:
    raise AssertionError("no balancer here reads validation losses")


class Scorer(nn.Module):
    """Log-probabilities that depend on two tensors of parameters, and an auxiliary loss on one of them."""

    def __init__(self, auxiliary: bool = False, spoilt: Any = None) -> None:
        super().__init__()
        drawn = torch.Generator().manual_seed(0)
        self.table = nn.Parameter(torch.randn(8, 3, dtype=torch.float64, generator=drawn))
        self.mix = nn.Parameter(torch.randn(3, dtype=torch.float64, generator=drawn))
        self.frozen = nn.Parameter(torch.ones(2, dtype=torch.float64), requires_grad=False)
        self.auxiliary = auxiliary
        self.spoilt = spoilt

    def forward(self, batch: mftkit.Batch, _factors: Any = None) -> tuple[torch.Tensor, Any]:
        logprobs = -nn.functional.softplus(self.table[batch.targets] @ self.mix)
        if self.spoilt is not None:
            logprobs = logprobs * torch.where(batch.task == self.spoilt, torch.nan, 1.0)
        return logprobs, self.mix.square().sum() if self.auxiliary else None


def samples() -> list[mftkit.Sample]:
    drawn = np.random.default_rng(0)
    made = []
    for index, task in enumerate(OF_SAMPLE):
        tokens = drawn.integers(0, 8, 2 + index % 4).astype(np.int32)
        made.append(mftkit.Sample(index, task, tokens, np.ones(len(tokens), bool)))
    return made


def step() -> GlobalBatch:
    plan = BatchSampler(
        cast(Any, SampleList(samples())), installed.build(kinds.TOKENIZATION_MODE, "padding", {}), tasks=len(TASKS), seed=1,
        batch_size=16, max_length=8, epochs=1, max_steps=1, group_by_task=True,
    )  # fmt: skip
    return plan[1]


class Given(mftkit.Balancer):
    """Weights as they were given."""

    def weights(self) -> Any:
        return self.options


class Combiner(mftkit.GradientCombiner):
    """Keeps what it is given, and gives the rows' sum, or what it was made with."""

    def combine(self, gradients: Any, weights: Any) -> Any:
        self.seen = gradients.clone()
        self.weights = weights
        return gradients.sum(0) if self.options is None else self.options


def train(
    loss: str,
    combiner: Any,
    *,
    processes: int = 1,
    micro: int = 2,
    stopped: list[int] | tuple[Any, ...] = (),
    weights: torch.Tensor = WEIGHTS,
    max_norm: float | None = None,
    steps: int = 1,
    **scorer: Any,
) -> Any:
    """Real steps; what each process's optimizer got, and its result."""

    def work(process: Any) -> Any:
        model = Scorer(**scorer)
        corpus: Any = SampleList(samples())
        objective = Objective(installed.build(kinds.LOSS, loss, {}, TASKS), len(TASKS))
        balancing = Balancing(Given(weights, TASKS), len(TASKS), no_validation, lambda: stopped)
        trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = GradientRecorder(trained)
        engine = process.engine(model, optimizer)
        train_step = TrainStep(
            model, corpus, installed.build(kinds.TOKENIZATION_MODE, "padding", {}), objective, balancing, engine,
            Batcher(process, micro, 8, 0), max_norm, make_gradients(engine, trained, process, combiner),
        )  # fmt: skip
        for _ in range(steps):
            result = train_step(step(), 0.0, Meter(len(TASKS), torch.device("cpu"), torch.float64))
        return torch.cat([grad.flatten() for grad in optimizer.steps[-1]]), result, train_step

    return in_threads(processes, work)


def formula(loss: str, auxiliary: bool = False) -> torch.Tensor:
    """Each task's gradient of w_i * share_i * L_i, differentiated over the whole batch at once."""
    model = Scorer(auxiliary)
    corpus = samples()
    batch = mftkit.collate(mftkit.MicroBatch(tuple((sample,) for sample in corpus), 8, 0))
    made = installed.build(kinds.LOSS, loss, {}, TASKS)
    logprobs, extra = model(batch)
    tokens = mftkit.Tokens(
        logprobs, batch.task, batch.sample, batch.sample_task, len(TASKS), len(batch.sample_task)
    )
    counts = [torch.bincount(each, minlength=len(TASKS)).double() for each in (batch.task, batch.sample_task)]
    totals = mftkit.Totals(made.statistics(tokens), counts[0], counts[1], counts[0] > 0)
    parts = WEIGHTS / WEIGHTS.mean() * made.task_shares(totals) * made.task_losses(totals)
    if auxiliary:
        parts = parts + extra * counts[0] / counts[0].sum()
    trained = [model.table, model.mix]
    rows = []
    for task in range(len(TASKS)):
        if counts[0][task]:
            grads = torch.autograd.grad(parts[task], trained, retain_graph=True)
            rows.append(torch.cat([grad.flatten() for grad in grads]))
        else:
            rows.append(torch.zeros(27, dtype=torch.float64))
    return torch.stack(rows)


@pytest.mark.parametrize("auxiliary", [False, True])
@pytest.mark.parametrize(("processes", "micro"), [(1, 1), (1, 2), (1, 9), (2, 1), (2, 2), (4, 2), (8, 1)])
@pytest.mark.parametrize("loss", LOSSES)
def test_each_tasks_gradient_is_that_of_the_formula_whatever_the_split(
    loss: str, processes: int, micro: int, auxiliary: bool
) -> None:
    combiner = Combiner(None, TASKS)
    every = train(loss, combiner, processes=processes, micro=micro, auxiliary=auxiliary)
    expected = formula(loss, auxiliary)
    torch.testing.assert_close(combiner.seen, expected, rtol=1e-11, atol=1e-13)
    assert torch.equal(combiner.seen[3], torch.zeros(27, dtype=torch.float64)), "the absent task's"
    for got, _, _ in every:
        torch.testing.assert_close(got, expected.sum(0), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("max_norm", [None, 0.01])
@pytest.mark.parametrize("loss", LOSSES)
def test_the_plain_sum_is_ordinary_training(loss: str, max_norm: float | None) -> None:
    ((mine, result, _),) = train(loss, Combiner(None, TASKS), max_norm=max_norm, auxiliary=True)
    ((plain, expected, _),) = train(loss, None, max_norm=max_norm, auxiliary=True)
    torch.testing.assert_close(mine, plain, rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(result.grad_norm, expected.grad_norm)
    torch.testing.assert_close(result.objective, expected.objective)
    if max_norm:
        assert float(mine.norm()) == pytest.approx(max_norm, rel=1e-3)


def test_a_second_step_starts_from_empty_rows() -> None:
    once, twice = Combiner(None, TASKS), Combiner(None, TASKS)
    train("task-focal", once)
    train("task-focal", twice, steps=2)
    assert torch.equal(once.seen, twice.seen)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_stopped_task_has_no_say_and_its_routers_loss_is_not_lost(processes: int) -> None:
    combiner = Combiner(torch.zeros(27, dtype=torch.float64), TASKS)
    ((got, _, _), *_) = train("mixed", combiner, stopped=[0], auxiliary=True, processes=processes)
    assert combiner.weights.tolist() == [0.0, 1.0, 2.0, 0.0]
    assert torch.equal(combiner.seen[0], torch.zeros(27, dtype=torch.float64))
    assert (combiner.seen[1:3] != 0).any(1).all()
    of_first = sum(len(s.tokens) - 1 for s in samples() if s.task == 0)
    share = of_first / sum(len(s.tokens) - 1 for s in samples())
    torch.testing.assert_close(got[24:], 2 * share * Scorer().mix.detach())


def test_an_absent_task_weighs_nothing() -> None:
    combiner = Combiner(None, TASKS)
    train("mixed", combiner)
    assert (combiner.weights > 0).tolist() == [True, True, True, False]


def test_every_process_gets_what_one_of_them_decided() -> None:
    class Differs(mftkit.GradientCombiner):
        calls = 0

        def combine(self, gradients: Any, weights: Any) -> Any:
            Differs.calls += 1
            return gradients.sum(0) * Differs.calls

    every = train("mixed", Differs(None, TASKS), processes=4)
    assert Differs.calls == 1
    assert all(torch.equal(got, every[0][0]) for got, _, _ in every)


def test_a_gradient_that_is_not_finite_is_refused_before_it_is_combined() -> None:
    combiner = Combiner(None, TASKS)
    ((_, result, train_step),) = train("mixed", combiner, spoilt=1)
    assert not hasattr(combiner, "seen")
    assert not bool(torch.isfinite(result.grad_norm))
    with pytest.raises(NonFiniteLossError) as fault:
        train_step.guard.check(lambda _: torch.tensor([True, True, True, False]))
    assert fault.value.tasks == [1]


@pytest.mark.parametrize("given", [torch.zeros(26), torch.zeros(1, 27), 1.0])
def test_a_combiner_that_gives_something_else_is_named(given: float | torch.Tensor) -> None:
    with pytest.raises(
        MftError, match=r"Combiner.combine\(\) must return a tensor of shape \(27,\), but returned"
    ):
        train("mixed", Combiner(given, TASKS))


def test_parameters_of_several_number_types_are_refused() -> None:
    model = Scorer()
    model.mix = nn.Parameter(model.mix.detach().float())
    with pytest.raises(MftError, match=r"torch\.float32, torch\.float64.*model\.dtype"):
        PerTaskGradients(
            cast(Any, None),
            list(model.parameters()),
            cast(Any, None),
            Combiner(None, TASKS),
        )


def test_the_memory_is_described() -> None:
    assert describe_memory(None, []) == ""
    note = describe_memory(Combiner(None, TASKS), [torch.zeros(1000, 25_000)])
    assert "4 x 25,000,000 numbers, 0.4 GB" in note


@pytest.mark.parametrize(("micro", "processes"), [(1, 1), (2, 1), (4, 1), (16, 1), (1, 2), (2, 3), (3, 4)])
def test_a_micro_batch_holds_one_task_and_every_process_has_equally_many(micro: int, processes: int) -> None:
    made = step()
    each = [made.micro_batches(micro, rank, processes) for rank in range(processes)]
    assert len({len(batches) for batches in each}) == 1
    got = sorted(int(i) for batches in each for rows in batches for row in rows for i in row)
    assert got == list(range(len(OF_SAMPLE)))
    needed = sum(-(-OF_SAMPLE.count(task) // micro) for task in range(3))
    assert len(each[0]) == -(-needed // processes)
    for batches in each:
        for rows in batches:
            assert len(rows) <= micro
            assert len({OF_SAMPLE[int(i)] for row in rows for i in row}) <= 1


def test_rows_of_several_tasks_are_refused_with_a_hint() -> None:
    with pytest.raises(MftError, match=r'"task" needs rows.*1 of the 1 rows.*tokenization\.options\.scope'):
        BatchSampler(
            cast(Any, SampleList(samples())), installed.build(kinds.TOKENIZATION_MODE, "pack", {}), tasks=4, seed=1,
            batch_size=4, max_length=64, epochs=1, max_steps=1, group_by_task=True,
        )  # fmt: skip


LINEAR_IN_LOGPROBS = {
    "token-balanced": True,
    "sample-balanced": True,
    "mixed": True,
    "sample-focal": False,
    "task-focal": False,
}


@pytest.mark.parametrize("weighed", [False, True])
@pytest.mark.parametrize("loss", [name for name, linear in LINEAR_IN_LOGPROBS.items() if linear])
def test_an_objectives_factors_are_the_surrogates_gradient(loss: str, weighed: bool) -> None:
    objective = Objective(installed.build(kinds.LOSS, loss, {}, TASKS), len(TASKS))
    batch = mftkit.collate(mftkit.MicroBatch(tuple((sample,) for sample in samples()), 8, 0))
    if weighed:
        count = len(batch.sample_task)
        batch = mftkit.Batch(**{**vars(batch), "sample_weight": torch.linspace(0, 2, count).double()})
    slopes = torch.tensor([[0.5], [2.0], [0.0], [1.0]], dtype=torch.float64)
    values = torch.linspace(-9, -0.1, len(batch.task), dtype=torch.float64).requires_grad_()
    (slopes * objective.statistics(values, batch)).sum().backward()
    torch.testing.assert_close(objective.factors(batch, slopes), values.grad, rtol=1e-14, atol=0)


def tiny_llama() -> LlamaForCausalLM:
    torch.manual_seed(3)
    return LlamaForCausalLM(
        LlamaConfig(
            hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, vocab_size=8
        )
    )


def trained_weights(loss: Any, micro: int) -> tuple[torch.Tensor, list[bool]]:
    """Three steps of AdamW; the weights after them, and for each forward pass whether the factors were known."""
    model = tiny_llama()
    scorer = LogprobModel(
        model, installed.build(kinds.MODEL_ADAPTER, "llama", {}), installed.build(kinds.TUNING, "full", {})
    )
    seen: list[bool] = []

    def seen_in(_module: nn.Module, arguments: tuple[Any, ...]) -> None:
        if torch.is_grad_enabled():  # not the first pass
            seen.append(arguments[1] is not None)

    scorer.register_forward_pre_hook(seen_in)

    def work(process: Any) -> None:
        optimizer = torch.optim.AdamW(scorer.parameters(), lr=1e-2, fused=True)
        runner = TrainStep(
            scorer,
            cast(Any, SampleList(samples())),
            installed.build(kinds.TOKENIZATION_MODE, "padding", {}),
            Objective(loss, len(TASKS)),
            Balancing(Given(WEIGHTS, TASKS), len(TASKS), no_validation),
            process.engine(scorer, optimizer),
            Batcher(process, micro, 8, 0),
            1.0,
        )
        for _ in range(3):
            runner(step(), 1e-2, Meter(len(TASKS), torch.device("cpu"), torch.float64))

    in_threads(1, work)
    return torch.cat([p.detach().flatten() for p in model.parameters()]), seen


@pytest.mark.parametrize("micro", [2, 9])
@pytest.mark.parametrize("loss", LINEAR_IN_LOGPROBS)
def test_a_run_has_the_same_weights_with_and_without_known_factors(
    loss: str, micro: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = installed.build(kinds.LOSS, loss, {}, TASKS)
    mine, seen = trained_weights(built, micro)
    has_first_pass = not built.linear  # a step has a micro-batch per task at least
    assert set(seen) == {LINEAR_IN_LOGPROBS[loss] or has_first_pass}, "used wherever the loss allows it"
    monkeypatch.setattr(Coefficients, "factors", lambda _self, _number: None)
    plain, seen = trained_weights(built, micro)
    assert set(seen) == {False}
    assert float((mine - plain).norm() / plain.norm()) < 1e-6
