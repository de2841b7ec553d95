"""The sizes of the experiment: the base, the rows, the budget, the arms, what is measured, and what was cut."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

LOSSES = ("token-balanced", "sample-balanced", "sample-focal", "task-focal")
BALANCERS: tuple[dict[str, Any], ...] = tuple(
    {"name": name} for name in ("coba", "famo", "dwa", "uncertainty", "dro")
)
# At their defaults coba and dwa would not act before step 60 or 100, where the runs of this size end.
SHORT_BALANCERS: tuple[dict[str, Any], ...] = (
    {"name": "coba", "options": {"every": 3, "warmup": 4, "window": 8}},
    {"name": "famo", "options": {"every": 3}},
    {"name": "dwa", "options": {"window": 10}},
    {"name": "uncertainty"},
    {"name": "dro"},
)
MERGED = ("arithmetic", "ties", "dare")
HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"


@dataclass(frozen=True)
class Size:
    """What a size trains."""

    name: str
    model: dict[str, Any] | None
    """The spec's ``model``; None: a base that is pretrained first."""
    tuning: dict[str, Any]
    training: dict[str, Any]
    max_length: int
    """Tokens of a sample and of a packed row."""
    share: float
    """Share of each task's training rows, 0 to 1."""
    least: int
    """Fewest training rows of a task, if it has as many."""
    valid: int
    """Validation rows of a task."""
    seeds: int
    losses: tuple[str, ...] = LOSSES
    balancers: tuple[dict[str, Any], ...] = BALANCERS
    merged: tuple[str, ...] = ()
    """How the single models of a seed are merged, an arm each."""
    soups: tuple[str, ...] = ()
    """Arms whose models of all seeds are averaged, from the second seed on."""
    evaluators: tuple[str, ...] = ("edit-similarity", "exact-match")
    """Of every task, the unseen one too."""
    limit: int = 8
    """Rows of a task that are answered."""
    max_new_tokens: int = 24
    human_eval: bool = False
    """Whether pass@1 on HumanEval is measured."""
    pretraining_steps: int = 0
    cut: tuple[str, ...] = field(default=())
    """What the paper has and this size has not, a sentence each."""


CPU = Size(
    name="cpu",
    model=None,
    tuning={"method": "full"},
    training={
        "epochs": 2,
        "batch_size": 4,
        "micro_batch_size": 4,
        "learning_rate": 1e-3,
        "min_learning_rate": 1e-4,
        "log_every": 10,
        "evaluate_every": 20,
        "checkpoint_every": 40,
        "keep_checkpoints": 1,
        "early_stopping": {"patience": 2},
    },
    max_length=256,
    share=0.015,
    least=12,
    valid=16,
    seeds=3,
    balancers=SHORT_BALANCERS,
    merged=MERGED,
    soups=("mixed",),
    pretraining_steps=500,
    cut=(
        "The base is a Llama of 5.5 million parameters, pretrained by the same command for some minutes, instead of "
        "a model of 13 billion parameters.",
        "Each task has 1.5 % of its training rows (at least 12) and 16 validation rows, so the small tasks have a "
        "dozen rows.",
        "Samples of more than 256 tokens are left out.",
        "Answers have at most 24 tokens, to 8 rows of a task. pass@k is not measured: such a model writes no program "
        "that passes. No task is judged by a chat model.",
    ),
)

REAL = Size(
    name="real",
    model={"path": HUB_ID},
    tuning={"method": "lora", "rank": 16, "alpha": 32},
    training={
        "max_steps": 100,
        "batch_size": 1,
        "micro_batch_size": 1,
        "learning_rate": 5e-4,
        "log_every": 5,
        "evaluate_every": 50,
        "checkpoint_every": ["2 min", 50],
        "keep_checkpoints": 1,
    },
    max_length=128,
    share=0.05,
    least=100,
    valid=8,
    seeds=1,
    losses=("token-balanced",),
    balancers=(),
    merged=("arithmetic",),
    cut=(
        "Four arms (single, mixed, balanced, merged) with one seed: noise is not measured.",
        "Low-rank adapters instead of all parameters; 100 steps of one packed row of 128 tokens; longer samples are "
        "left out.",
        "8 validation rows a task; answers of at most 24 tokens.",
    ),
)

GPU = Size(
    name="gpu",
    model={"path": "Qwen/Qwen2.5-Coder-0.5B"},
    tuning={"method": "full"},
    training={
        "epochs": 3,
        "batch_size": 32,
        "micro_batch_size": 8,
        "learning_rate": 1e-5,
        "log_every": 10,
        "evaluate_every": 50,
        "checkpoint_every": 100,
        "keep_checkpoints": 1,
        "early_stopping": {"patience": 2},
    },
    max_length=1024,
    share=0.2,
    least=300,
    valid=64,
    seeds=3,
    merged=MERGED,
    soups=("mixed",),
    evaluators=("edit-similarity", "exact-match", "bleu"),
    limit=64,
    max_new_tokens=256,
    human_eval=True,
    cut=("A base of 0.5 billion parameters, and a fifth of the rows of the large tasks.",),
)
GPU_SMOLLM2 = replace(
    GPU,
    name="gpu-smollm2",
    model={"path": HUB_ID},
    cut=("A base of 135 million parameters, and a fifth of the rows of the large tasks.",),
)
SIZES = {size.name: size for size in (CPU, REAL, GPU, GPU_SMOLLM2)}
