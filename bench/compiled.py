"""What compiled decoder layers and recomputed activations cost and save in a training step on a CPU.

    python -m bench.compiled [--quick] [--json FILE]

A step is forward and backward pass of a Llama in float32, on rows of one sample; CPU seconds of one thread, medians of
steps that alternate. Making the kernels is no part of a step, and stands by itself: the C++ compiler's processes count.
"""

from __future__ import annotations

import copy
import os
import statistics
import time
from typing import TYPE_CHECKING, Any

import torch
from bench.figures import Figure, main
from transformers import LlamaConfig, LlamaForCausalLM

from mftkit.models.decoder_layers import named_layers
from mftkit.models.recomputation import recompute_activations
from mftkit.tools.plan.live_bytes import LiveBytes
from mftkit.training import compiled_layers
from mftkit.training.compiled_layers import CompiledLayers

if TYPE_CHECKING:
    from torch import Tensor

QUESTION = "What do compiled layers and recomputed activations cost and save in a step?"
SHAPE: dict[str, Any] = {
    "vocab_size": 2048, "hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 4,
    "num_attention_heads": 8, "num_key_value_heads": 4,
}  # fmt: skip
TINY = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
HOW: dict[str, bool | str] = {"all kept": False, "selective": "selective", "recomputed": True}


def measure(*, quick: bool = False) -> list[Figure]:
    """Measure; ``quick`` traces the layers without making kernels of them."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**SHAPE | (TINY if quick else {}))).train()
    ids = torch.randint(0, SHAPE["vocab_size"], (2, 32) if quick else (4, 512))
    return [*_compiled(model, ids, quick), *_recomputed(model, ids, quick)]


def _compiled(model: LlamaForCausalLM, ids: Tensor, quick: bool) -> list[Figure]:
    backend, compiled_layers.BACKEND = compiled_layers.BACKEND, "eager" if quick else compiled_layers.BACKEND
    compiled = copy.deepcopy(model)
    try:
        layers = CompiledLayers(named_layers(compiled), 1, print)
    finally:
        compiled_layers.BACKEND = backend
    before = os.times()
    started = time.perf_counter()
    _step(compiled, ids)
    seconds, after = time.perf_counter() - started, os.times()
    spent = sum(after[:4]) - sum(before[:4])
    eager, kernels = _alternating([model, compiled], ids, quick)
    return [
        Figure("step, layers as they are", eager, "CPU s", note=f"{tuple(ids.shape)} tokens"),
        Figure("step, compiled layers", kernels, "CPU s"),
        Figure("compiled / as they are", kernels / eager),
        Figure("first step with its compilation", spent, "CPU s", note=f"{seconds:.0f} s by the clock"),
        Figure("graphs", layers.graphs, note=f"{len(named_layers(compiled))} layers, one shape"),
    ]


def _recomputed(model: LlamaForCausalLM, ids: Tensor, quick: bool) -> list[Figure]:
    models = [copy.deepcopy(model) for _ in HOW]
    peaks = []
    for each, how in zip(models, HOW.values(), strict=True):
        recompute_activations(each, how)  # type: ignore[arg-type]
        live = LiveBytes(each.parameters())
        with live:
            each(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        peaks.append(live.peak / 2**20)
        each.zero_grad()
    seconds = _alternating(models, ids, quick)
    return [
        figure
        for name, spent, peak in zip(HOW, seconds, peaks, strict=True)
        for figure in (
            Figure(f"step, activations {name}", spent, "CPU s", note=f"{spent / seconds[0]:.2f} of all kept"),
            Figure(f"memory, activations {name}", peak, "MiB", note="gradients and activations"),
        )
    ]


def _alternating(models: list[LlamaForCausalLM], ids: Tensor, quick: bool) -> list[float]:
    spent: list[list[float]] = [[] for _ in models]
    for _ in range(1 if quick else 7):
        for each, model in zip(spent, models, strict=True):
            started = time.process_time()
            _step(model, ids)
            each.append(time.process_time() - started)
    return [statistics.median(each) for each in spent]


def _step(model: LlamaForCausalLM, ids: Tensor) -> None:
    model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    model.zero_grad()


if __name__ == "__main__":
    main(__spec__.name)
