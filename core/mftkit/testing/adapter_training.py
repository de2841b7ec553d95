"""Checks of a model adapter on a tiny model: the chunked head, packed rows, training, and exported results."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch.nn import functional

from mftkit.base.quiet import without_peft_noise
from mftkit.batches.collate import collate
from mftkit.batches.joining import join_rows
from mftkit.interfaces.component import Component, TaskInfo
from mftkit.interfaces.tokenization import MicroBatch, Sample
from mftkit.models.eval_contexts import evaluation, stop_training
from mftkit.models.recomputation import recompute_activations
from mftkit.models.vocabulary import embedding
from mftkit.plugins import installed
from mftkit.plugins.kinds import TOKENIZATION_MODE, TUNING
from mftkit.testing.assertions import require
from mftkit.testing.tiny import from_disk, logits
from mftkit.tools.merge import merge
from mftkit.training.logprob_model import LogprobModel
from mftkit.training.logprobs import token_logprobs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from torch import Tensor, nn
    from transformers import PreTrainedModel

    from mftkit.interfaces.model import ModelAdapter
    from mftkit.interfaces.tokenization import Batch, TokenizationMode
    from mftkit.interfaces.tuning import Tuning
    from mftkit_registry import Kind

LENGTHS = (5, 9, 3, 7)
"""Number of tokens in each sample; any two samples fit in a row, but not all four."""
MAX_LENGTH = 16
NEAR = 1e-4
"""Largest difference allowed: absolute for a logit, relative to the largest gradient for a gradient."""
C = TypeVar("C", bound=Component)
Settings = "Mapping[str, Mapping[str, Any]]"


def installed_components(
    kind: Kind[C], given: Mapping[str, Mapping[str, Any]] | None
) -> Iterator[tuple[str, C]]:
    """Yield name and component of a kind: those ``given`` with their options, or all that are installed and load."""
    task = (TaskInfo("task", samples=4, tokens=24, valid_samples=0),)
    if given is None:
        rows = installed.registry().plugins
        given = {row.name: {} for row in rows if row.kind == kind.name and row.status == "ok" and row.name}
    for name, options in given.items():
        yield name, installed.build(kind, name, dict(options), task)


def samples(model: PreTrainedModel) -> tuple[Sample, ...]:
    """Return a few samples of different lengths, with tokens from the model's vocabulary."""
    vocabulary = embedding(model).num_embeddings
    return tuple(
        Sample(i, 0, ((np.arange(n) * 7 + 3 + 11 * i) % vocabulary).astype(np.int32), np.ones(n, np.bool_))
        for i, n in enumerate(LENGTHS)
    )


def batch_of(mode: TokenizationMode, members: tuple[Sample, ...]) -> tuple[Batch, int]:
    """Return all samples in one batch, laid out by the mode, and the number of samples in the fullest row."""
    lengths = np.array([len(sample.tokens) for sample in members])
    layout = mode.layout(lengths, np.zeros_like(lengths), np.arange(len(members)), MAX_LENGTH)
    rows = tuple(
        tuple(members[int(i)] for i in layout.samples[a:b]) for a, b in pairwise(layout.offsets.tolist())
    )
    return mode.collate(MicroBatch(rows, MAX_LENGTH, 0)), max(len(row) for row in rows)


def one_per_row(members: tuple[Sample, ...]) -> Batch:
    """Return a batch with one padded sample per row."""
    return collate(MicroBatch(tuple((sample,) for sample in members), MAX_LENGTH, 0))


def check_chunked_head(adapter: ModelAdapter, model: PreTrainedModel) -> None:
    """With the head applied in chunks of three tokens, loss and gradients equal cross-entropy of the full logits."""
    batch = one_per_row(samples(model))
    model.requires_grad_(True)
    results = []
    for chunked in (True, False):
        model.zero_grad()
        if chunked:
            states = adapter.hidden_states(model, batch).flatten(0, 1).index_select(0, batch.predictor_index)
            loss = -token_logprobs(states, batch.targets, adapter.head(model), chunk=3).mean()
        else:
            full = model(input_ids=batch.input_ids, use_cache=False).logits.flatten(0, 1)
            loss = functional.cross_entropy(full.index_select(0, batch.predictor_index), batch.targets)
        loss.backward()  # type: ignore[no-untyped-call]
        gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        results.append((float(loss.detach()), gradients))
    model.zero_grad()
    (one, ours), (other, theirs) = results
    require(
        abs(one - other) <= NEAR,
        f"the loss is {one:.6f} with the chunked head, but {other:.6f} with the full logits",
    )
    largest = max(float(gradient.abs().max()) for gradient in theirs.values())
    off = {name: float((ours[name] - theirs[name]).abs().max()) for name in theirs.keys() & ours.keys()}
    worst = max(off, key=lambda name: off[name])
    require(
        theirs.keys() == ours.keys(),
        f"these parameters have a gradient only with or only without chunks: {sorted(theirs.keys() ^ ours.keys())[:3]}",
    )
    require(
        off[worst] <= NEAR * largest,
        f"the gradient of {worst} differs by {off[worst]:.3g} (the largest gradient is {largest:.3g})",
    )


def check_rows(
    adapter: ModelAdapter,
    model: PreTrainedModel,
    modes: Mapping[str, Mapping[str, Any]] | None,
    *,
    packed: bool = True,
) -> None:
    """In each mode that isolates samples, each sample has the same log-probability as alone in a batch.

    Without ``packed``, only modes that put one sample in each row are tried.
    """
    members = samples(model)
    alone = torch.cat([_sums(adapter, model, one_per_row((sample,))) for sample in members])
    for name, mode in installed_components(TOKENIZATION_MODE, modes):
        batch, most = batch_of(mode, members)
        # In the second case, the samples of a row attend to each other.
        if most > 1 and (not packed or batch.position_ids is None):
            continue
        if adapter.needs_one_row(model):
            batch = join_rows(batch)
        found = _sums(adapter, model, batch)[np.argsort(batch.sample_index)]
        off = float((found - alone).abs().max())
        require(
            off <= 1e-3,
            f"{name}: a sample's log-probability differs by {off:.3g} when it is packed with others",
        )


def _sums(adapter: ModelAdapter, model: PreTrainedModel, batch: Batch) -> Tensor:
    """Return the sum of log-probabilities of each sample, [samples]."""
    with evaluation(model), torch.no_grad():
        states = adapter.hidden_states(model, batch).flatten(0, 1).index_select(0, batch.predictor_index)
        found = token_logprobs(states, batch.targets, adapter.head(model))
    return found.new_zeros(len(batch.sample_task)).index_add(0, batch.sample, found)


def check_router(adapter: ModelAdapter, model: PreTrainedModel) -> None:
    """The router loss is a positive scalar, ignores padding, and its gradient reaches the routers."""
    members = samples(model)
    model.requires_grad_(True)
    loss = adapter.auxiliary_loss(adapter.outputs(model, one_per_row(members)))
    require(loss is not None, "the config has experts, but auxiliary_loss returns None")
    assert loss is not None
    require(
        loss.ndim == 0 and 0 < float(loss.detach()) < 100,
        f"the router loss must be a scalar between 0 and 100, but is {loss!r}",
    )
    model.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    reached = [
        n for n, p in model.named_parameters() if p.grad is not None and ("gate" in n or "router" in n)
    ]
    require(bool(reached), "the gradient of the router loss reaches no router")
    model.zero_grad()
    wide = collate(MicroBatch(tuple((sample,) for sample in members), 32, 0), pad_to=32)
    padded = adapter.auxiliary_loss(adapter.outputs(model, wide))
    assert padded is not None
    off = abs(float((padded - loss).detach()))
    require(off <= 1e-6, f"padding changes the router loss by {off:.3g}")


def check_tunings(
    adapter: ModelAdapter,
    base: Path,
    tunings: Mapping[str, Mapping[str, Any]] | None,
    modes: Mapping[str, Mapping[str, Any]] | None,
    plainly: bool,
) -> None:
    """With each tuning, steps in each mode lower the loss, and the exported model gives the trained model's logits.

    ``plainly``: the exported model is loaded with transformers and peft only.
    """
    for name, tuning in installed_components(TUNING, tunings):
        tuned = _tuned(adapter, base, tuning)
        before, after = _train(adapter, tuning, tuned, modes)
        require(
            after < before,
            f"{name}: training does not lower the loss ({before:.4f} before, {after:.4f} after)",
        )
        place = base.parent / f"result-{name}"
        place.mkdir()
        with quiet():
            tuning.export(tuned, place, str(base))
        _check_result(adapter, tuning, tuned, place, plainly)


def _tuned(adapter: ModelAdapter, base: Path, tuning: Tuning) -> nn.Module:
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(1)
        model = from_disk(adapter, base, load_options=tuning.load_options(torch.float32))
        return tuning.apply(model, adapter)


def _train(
    adapter: ModelAdapter,
    tuning: Tuning,
    tuned: nn.Module,
    modes: Mapping[str, Mapping[str, Any]] | None,
) -> tuple[float, float]:
    """Return the loss before and after two steps in each mode, with router loss and activation checkpointing."""
    base = tuning.base_model(tuned)
    batches = [batch_of(mode, samples(base))[0] for _, mode in installed_components(TOKENIZATION_MODE, modes)]
    recompute_activations(base)
    model = LogprobModel(tuned, adapter, tuning)
    optimizer = torch.optim.AdamW([p for p in tuned.parameters() if p.requires_grad], lr=3e-3)
    first = _loss(model, batches[0])
    with torch.random.fork_rng(devices=[]):
        for batch in batches * 2:
            model.train()
            logprobs, extra = model(batch)
            (-logprobs.mean() + (0 if extra is None else extra)).backward()
            optimizer.step()
            optimizer.zero_grad()
    return first, _loss(model, batches[0])


def _loss(model: LogprobModel, batch: Batch) -> float:
    stop_training(model)
    with torch.no_grad():
        return -float(model(batch)[0].mean())


def _check_result(
    adapter: ModelAdapter, tuning: Tuning, tuned: nn.Module, place: Path, plainly: bool
) -> None:
    from transformers import AutoModelForCausalLM

    expected = logits(stop_training(tuning.base_model(tuned)))
    options = tuning.load_options(torch.float32) if tuning.saves_adapter else {}
    loaded: Any = None
    if plainly:
        with quiet(), without_peft_noise():
            loaded = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32, **options)
    elif not tuning.saves_adapter:
        loaded = from_disk(adapter, place)
    if loaded is not None:
        off = float((logits(stop_training(loaded)) - expected).abs().max())
        require(off <= NEAR, f"logits of the model exported by {type(tuning).__name__} differ by {off:.3g}")
    if tuning.saves_adapter:
        with quiet():
            merged = merge(place, place.parent / f"{place.name}-merged", adapter=adapter)
        require(
            merged.difference <= NEAR * max(1.0, merged.largest),
            f"logits differ by {merged.difference:.3g} after merging the adapter of {type(tuning).__name__}",
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Turn off progress bars and the warnings of transformers about tiny models."""
    from transformers.utils import logging as transformers_logging

    shown, level = transformers_logging.is_progress_bar_enabled(), transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    transformers_logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if shown:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
