"""From which size of a step on do several threads pay on a CPU?

A step of a Llama of two layers (hidden size 64 to 512), forward and backward, with one thread and with all cores, in
turns. A size is the hidden size times the positions of a micro-batch: the numbers of one activation, over which the
threads divide the work. "clock" is what a user waits for, and depends on what else runs on the machine; "CPU" is what
the threads cost together. ``mftkit/base/threads.py`` takes one thread below ``SMALL``.
"""

from __future__ import annotations

import os
import time

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as mft does, before torch is imported

import torch
from bench.figures import Figure, alternating, main

QUESTION = "From which size of a step on do several threads pay on a CPU?"
SIZES = {"2^14": (64, 256), "2^16": (128, 512), "2^18": (256, 1024), "2^20": (512, 2048)}


def measure(*, quick: bool) -> list[Figure]:
    """Time with all threads over time with one, on the clock and of the processor."""
    many = max(2, len(os.sched_getaffinity(0)))
    figures = []
    for name, (hidden, positions) in list(SIZES.items())[: 1 if quick else None]:
        step = llama_step(hidden, positions)
        once = 1 if quick else max(1, 2**20 // (hidden * positions) // 8)

        def work(threads: int, step: LlamaStep = step, once: int = once) -> None:
            torch.set_num_threads(threads)
            for _ in range(once):
                step()

        variants = {"one": lambda: work(1), "many": lambda: work(many)}
        for clock, label in ((time.perf_counter, "clock"), (time.process_time, "CPU")):
            took = alternating(variants, 1 if quick else 5, clock)
            figures.append(
                Figure(f"{label}, {many} threads / 1, size {name}", took["many"] / took["one"], "")
            )
    torch.set_num_threads(1)
    return figures


class LlamaStep:
    """A forward and a backward pass over one row."""

    def __init__(self, hidden: int, positions: int) -> None:
        from transformers import LlamaConfig, LlamaForCausalLM

        config = LlamaConfig(
            hidden_size=hidden,
            intermediate_size=2 * hidden,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            vocab_size=512,
            max_position_embeddings=positions,
        )
        self._model = LlamaForCausalLM(config)
        rows = max(1, positions // 256)
        self._ids = torch.zeros((rows, positions // rows), dtype=torch.int64)

    def __call__(self) -> None:
        """Make the passes."""
        self._model(input_ids=self._ids, labels=self._ids).loss.backward()


def llama_step(hidden: int, positions: int) -> LlamaStep:
    """The step of one size."""
    return LlamaStep(hidden, positions)


if __name__ == "__main__":
    main(__spec__.name)
