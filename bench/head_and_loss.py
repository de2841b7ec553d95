"""What do output head and loss cost, in time against full logits with cross-entropy, and in memory?

Hidden size 512, float32, 4,096 loss tokens, each with its own weight in the loss, forward and backward, CPU time of one
thread. "known" is training with a loss that is linear in log-probabilities, whose gradients are formed in the forward
pass; "computed twice" is any other loss, whose logits are computed again in the backward pass. A frozen head needs
neither. Peaks are measured in a fresh process each.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING

import torch
from bench.figures import Figure, alternating, main, peak_mib
from torch.nn import functional

from mftkit.interfaces.model import Head
from mftkit.training.logprobs import token_logprobs

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

QUESTION = "What do output head and loss cost, against full logits with cross-entropy?"
HIDDEN, TOKENS = 512, 4096
ROUNDS = {32_000: 3, 151_936: 1}
"""Rounds that are counted, by vocabulary; one of the larger takes two minutes."""
GOALS = {"known": 1.05, "computed twice": 1.35}
PEAKS = {"known": 620.0, "computed twice": 500.0}
PEERS = {
    (32_000, "known"): "0.87, cut-cross-entropy (torch.compile); TRL 1.16: 2.12",
    (32_000, "computed twice"): "1.21, torchtune (eight chunks); TRL 1.16: 2.12",
    (32_000, "frozen"): "0.82, cut-cross-entropy (torch.compile); TRL 1.16: 2.60",
    (151_936, "known"): "1.98, TRL 1.16",
    (151_936, "computed twice"): "1.98, TRL 1.16",
}
PEER_PEAKS = {
    32_000: "146, torch 2.13 linear_cross_entropy; TRL 1.16: 4204",
    151_936: "619, torch 2.13 linear_cross_entropy; TRL 1.16: 4529",
}


class Problem:
    """One head, and the tokens that it predicts."""

    def __init__(self, vocabulary: int, tokens: int) -> None:
        drawn = torch.Generator().manual_seed(0)
        self.hidden = (torch.randn(tokens, HIDDEN, generator=drawn) * 0.5).requires_grad_()
        self.weight = torch.randn(vocabulary, HIDDEN, generator=drawn) * 0.05
        self.targets = torch.randint(0, vocabulary, (tokens,), generator=drawn)
        self.factors = torch.rand(tokens, generator=drawn) / -tokens

    def run(self, variant: str, *, frozen: bool = False) -> None:
        """One forward and backward pass."""
        self.hidden.grad = self.weight.grad = None
        self.weight.requires_grad_(not frozen)
        (self.factors * self._logprobs(variant)).sum().backward()

    def _logprobs(self, variant: str) -> Tensor:
        if variant == "full":
            logits = self.hidden @ self.weight.t()
            return -functional.cross_entropy(logits.float(), self.targets, reduction="none")
        known = self.factors if variant == "known" else None
        return token_logprobs(self.hidden, self.targets, Head(self.weight), factors=known)


def measure(*, quick: bool) -> list[Figure]:
    """Times and peaks of both vocabularies."""
    torch.set_num_threads(1)
    vocabularies, tokens = ({500: 1}, 64) if quick else (ROUNDS, TOKENS)
    figures = []
    for vocabulary, rounds in vocabularies.items():
        figures += _times(vocabulary, tokens, rounds)
        figures += [
            _peak(vocabulary, tokens, variant) for variant in (["known"] if quick else ["full", *PEAKS])
        ]
    return figures


def _times(vocabulary: int, tokens: int, rounds: int) -> list[Figure]:
    problem = Problem(vocabulary, tokens)

    def run(variant: str, frozen: bool) -> Callable[[], None]:
        return lambda: problem.run(variant, frozen=frozen)

    trained = alternating({variant: run(variant, frozen=False) for variant in ("full", *GOALS)}, rounds)
    frozen = alternating({variant: run(variant, frozen=True) for variant in ("full", "known")}, rounds)
    figures = [
        Figure(
            f"{vocabulary:,}, {variant}",
            trained[variant] / trained["full"],
            "x full",
            at_most=goal,
            peer=PEERS.get((vocabulary, variant), ""),
            note=f"full: {trained['full']:.2f} s",
        )
        for variant, goal in GOALS.items()
    ]
    ratio = frozen["known"] / frozen["full"]
    peer, note = PEERS.get((vocabulary, "frozen"), ""), f"full: {frozen['full']:.2f} s"
    return [
        *figures,
        Figure(f"{vocabulary:,}, frozen head", ratio, "x full", at_most=1.05, peer=peer, note=note),
    ]


def _peak(vocabulary: int, tokens: int, variant: str) -> Figure:
    with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
        mib = fresh.submit(peak, vocabulary, tokens, variant).result()
    return Figure(
        f"{vocabulary:,}, peak, {variant}",
        mib,
        "MiB",
        at_most=PEAKS.get(variant) if vocabulary > 100_000 else None,
        peer="" if variant == "full" else PEER_PEAKS.get(vocabulary, ""),
        note="above the inputs, trained head",
    )


def peak(vocabulary: int, tokens: int, variant: str) -> float:
    """MiB above the inputs in this process."""
    torch.set_num_threads(1)
    Problem(256, 64).run(variant)
    problem = Problem(vocabulary, tokens)
    return peak_mib(lambda: problem.run(variant))


if __name__ == "__main__":
    main(__spec__.name)
