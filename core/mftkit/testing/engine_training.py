"""Trains a tiny model with an engine, in this process or in several that are forked from it."""

from __future__ import annotations

import os
import tempfile
import time
import traceback
from copy import deepcopy
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor

from mftkit.batches.collate import collate
from mftkit.interfaces.engine import Engine, ProcessGroup
from mftkit.interfaces.tokenization import MicroBatch
from mftkit.models.eval_contexts import stop_training
from mftkit.testing.adapter_training import MAX_LENGTH, samples
from mftkit.testing.assertions import ConformanceError
from mftkit.testing.tiny import AnyAdapter, from_disk
from mftkit.training.logprob_model import LogprobModel
from mftkit.training.shards import divided_like, divided_optimizer_state

if TYPE_CHECKING:
    from collections.abc import Callable

    from mftkit.interfaces.tokenization import Batch
    from mftkit.interfaces.tuning import Tuning

PROCESSES = 2
CLIP = 0.05
"""The largest norm of a gradient: every step is clipped."""
SECONDS = 240
"""After which processes that have not ended are ended."""


@dataclass
class Trained:
    """What a training gave."""

    losses: list[float] = field(default_factory=list)
    """Before each step, the mean over tokens, in nats."""
    norms: list[float] = field(default_factory=list)
    """Of each step's gradient, before clipping."""
    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Work:
    """A training: a few steps on four samples, one in each micro-batch."""

    engine: Callable[[], Engine[Any]]
    """Makes the engine."""
    tuning: Callable[[], Tuning[Any]]
    """Makes the tuning."""
    checkpoint: Path
    """Directory of the model."""
    steps: int
    start: Trained | None = None
    """Where it resumes."""
    skipped: tuple[int, ...] = ()
    """Steps, from 0, whose update is left out."""


def train_alone(work: Work) -> Trained:
    """Train in this process."""
    return _train(work, ProcessGroup(1, 0, torch.device("cpu")))


def train_together(work: Work) -> Trained:
    """Train in ``PROCESSES`` new processes, with gloo; returns what the first one found.

    Raises ConformanceError with the message of a process that failed.
    """
    context = get_context("fork")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        workers = [
            context.Process(target=_work, args=(work, rank, directory), daemon=True)
            for rank in range(PROCESSES)
        ]
        for worker in workers:
            worker.start()
        end = time.monotonic() + SECONDS
        while any(worker.is_alive() for worker in workers) and time.monotonic() < end:
            if any(worker.exitcode for worker in workers):
                break
            time.sleep(0.05)
        hung = not any(worker.exitcode for worker in workers) and any(worker.is_alive() for worker in workers)
        for worker in workers:
            worker.kill()
            worker.join()
        failures = sorted(path.read_text("utf-8") for path in directory.glob("failed-*"))
        if failures or hung or any(worker.exitcode for worker in workers):
            cause = failures[0] if failures else "a process ended or did not end, without a message"
            raise ConformanceError(f"in {PROCESSES} processes: {cause}")
        trained: Trained = torch.load(directory / "trained.pt", weights_only=False)
        return trained


def _work(work: Work, rank: int, directory: Path) -> None:
    """Be one of the processes, to its end."""
    torch.set_num_threads(1)  # threads of the parent are not there
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(PROCESSES), LOCAL_WORLD_SIZE=str(PROCESSES)
    )
    code = 1
    try:
        dist.init_process_group(
            "gloo", init_method=(directory / "store").as_uri(), rank=rank, world_size=PROCESSES
        )
        trained = _train(work, ProcessGroup(PROCESSES, rank, torch.device("cpu")))
        if rank == 0:
            torch.save(trained, directory / "trained.pt")
        dist.barrier()
        code = 0
    except BaseException as error:
        (directory / f"failed-{rank}").write_text(
            f"{type(error).__name__}: {error}\n{traceback.format_exc()}", "utf-8"
        )
    finally:
        os._exit(code)


def _train(work: Work, processes: ProcessGroup) -> Trained:
    engine, tuning, adapter = work.engine(), work.tuning(), AnyAdapter(AnyAdapter.Options())
    engine.processes = processes
    engine.check(tuning, per_task_gradients=False)
    loaded = from_disk(adapter, work.checkpoint, load_options=engine.load_options(quantized=False))
    base = engine.distribute(loaded, tuned=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = tuning.apply(base, adapter)
    engine.distribute(tuning.base_model(model), tuned=True)
    stop_training(model)  # no dropout
    logprob_model = LogprobModel(model, adapter, tuning, None, engine.within)
    wrapped = engine.wrap(logprob_model, _optimizer(logprob_model))
    saved = [p for p in model.parameters() if p.requires_grad or not tuning.saves_adapter]
    found = Trained()
    if work.start is not None:
        with engine.whole(saved, written=True):
            tuning.load_state_dict(model, divided_like(work.start.weights, tuning.state_dict(model)))
        engine.load_optimizer_state(
            divided_optimizer_state(deepcopy(work.start.optimizer), engine.parameters)
        )
    batches = [collate(MicroBatch(((sample,),), MAX_LENGTH, 0)) for sample in samples(loaded)]
    for step in range(work.steps):
        loss, norm = _step(engine, wrapped, batches, step in work.skipped)
        found.losses.append(loss)
        found.norms.append(norm)
    with engine.whole(saved):
        found.weights = _whole(tuning.state_dict(model))
    found.optimizer = _whole(engine.optimizer_state())
    found.weights = {name: tensor.clone() for name, tensor in found.weights.items()}
    return found


def _optimizer(model: torch.nn.Module) -> torch.optim.Optimizer:
    """Return the optimizer of a run: two groups, of matrices and vectors."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": 0.1},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=1e-3, fused=True)


def _step(
    engine: Engine[Any], model: torch.nn.Module, batches: list[Batch], skip: bool
) -> tuple[float, float]:
    processes = engine.processes
    own = batches[processes.rank :: processes.count]
    tokens = sum(len(batch.targets) for batch in batches)
    total = torch.zeros(())
    for number, batch in enumerate(own):
        with engine.accumulate(last=number == len(own) - 1):
            logprobs, _ = model(batch)
            loss = -logprobs.sum() / tokens
            engine.backward(loss)
        total += loss.detach()
    engine.reduce(engine.parameters)
    norm = engine.clip(engine.parameters, CLIP)
    engine.update(torch.tensor(float(skip)))
    if processes.count > 1:
        dist.all_reduce(total)
    return float(total), float(norm)


def _whole(value: Any) -> Any:
    """Return nested dicts with each divided tensor put together; every process must call it."""
    if isinstance(value, DTensor):
        return cast("Any", value.detach()).full_tensor()
    return {key: _whole(each) for key, each in value.items()} if isinstance(value, dict) else value
