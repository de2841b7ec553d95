"""What packed samples cost in a step on a CPU: under one mask for each row, each by itself, or each in its own row.

    python -m bench.attention [--quick] [--json FILE]

Forward and backward pass of a Llama in float32 without its head, on the same packed samples: rows with the masks of
transformers' sdpa, the same rows joined under "varlen", and the same samples in buckets: rows of one sample, all of one
length, so that they need neither masks nor padding. CPU seconds of one thread, medians of passes in turns.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from bench.figures import Figure, main
from transformers import LlamaConfig, LlamaForCausalLM

from mftkit.batches.collate import collate
from mftkit.batches.joining import join_rows
from mftkit.interfaces.tokenization import MicroBatch, Sample
from mftkit.models.native import NativeAdapter
from mftkit.models.varlen_trial import use_varlen

if TYPE_CHECKING:
    from mftkit.interfaces.tokenization import Batch

ABOUT = """
Buckets are at their best here: real samples have as many lengths as tokens, and buckets then pad them, or make small
batches of what is left. Nested tensors call on a GPU the same kernel as "varlen". Flex attention has no backward pass
on a CPU, and packed rows are not offered under it.
"""
QUESTION = "What do packed samples cost under a mask of the whole row, and each by itself?"
SHAPE: dict[str, Any] = {
    "vocab_size": 2048, "hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 4,
    "num_attention_heads": 8, "num_key_value_heads": 4, "max_position_embeddings": 8192,
}  # fmt: skip
TINY = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
TOKENS = 8192
"""Of a pass, in rows of each length."""
ROUNDS = 5


def measure(*, quick: bool = False) -> list[Figure]:
    """Measure; ``quick`` takes a tiny model and short rows."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    masked, varlen = (LlamaForCausalLM(LlamaConfig(**SHAPE | (TINY if quick else {}))) for _ in range(2))
    varlen.load_state_dict(masked.state_dict())
    adapter = NativeAdapter(NativeAdapter.Options())
    if problem := use_varlen(adapter, varlen, 0):
        raise RuntimeError(problem)
    figures = []
    for length, samples in ((64, 4),) if quick else ((512, 4), (2048, 8), (8192, 32)):
        rows = (2 * length if quick else TOKENS) // length
        batch = _rows(rows, length, samples)
        buckets = _rows(rows * samples, length // samples, 1)
        given = ((masked, batch), (varlen, join_rows(batch)), (masked, buckets))
        spent: tuple[list[float], ...] = ([], [], [])
        results = []
        for _ in range(2 if quick else ROUNDS):
            results = [
                _pass(adapter, model, each, seconds)
                for (model, each), seconds in zip(given, spent, strict=True)
            ]
        one, other, alone = map(statistics.median, spent)
        name = f"rows of {length:,}, {samples} samples each"
        difference = float((results[0] - results[1]).norm() / results[0].norm())
        figures += [
            Figure(f"{name}: masked rows", one, "CPU s"),
            Figure(f"{name}: varlen", other, "CPU s", note=f"gradients differ by {difference:.1g}, relative"),
            Figure(f"{name}: buckets of one length", alone, "CPU s"),
            Figure(f"{name}: varlen over masked rows", other / one, "x", at_most=1.0),
            Figure(f"{name}: varlen over buckets", other / alone, "x"),
        ]
    return figures


def _rows(rows: int, length: int, samples: int) -> Batch:
    """Packed rows without padding, of samples of one length."""
    draw = np.random.default_rng(0)
    size = length // samples
    counts = np.ones(size, np.bool_)
    made = tuple(
        tuple(
            Sample(0, 0, draw.integers(3, SHAPE["vocab_size"], size).astype(np.int32), counts)
            for _ in range(samples)
        )
        for _ in range(rows)
    )
    return collate(MicroBatch(made, length, 0))


def _pass(
    adapter: NativeAdapter, model: LlamaForCausalLM, batch: Batch, seconds: list[float]
) -> torch.Tensor:
    """A forward and backward pass; returns the gradient at one weight of the first layer."""
    model.zero_grad()
    started = time.process_time()
    states = adapter.hidden_states(model, batch)
    (states @ torch.linspace(-1, 1, states.shape[-1]).sin()).sum().backward()
    seconds.append(time.process_time() - started)
    weight = model.model.layers[0].self_attn.q_proj.weight
    assert weight.grad is not None, "the backward pass reaches the first layer"
    return weight.grad.clone()


if __name__ == "__main__":
    main(__spec__.name)
