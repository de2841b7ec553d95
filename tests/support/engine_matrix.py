"""Runs that every engine must train with the numbers of one process: tiny models, tunings, losses and balancers."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any, cast

from adaptive_balancers import ADAPTIVE
from small_runs import rows, small_spec, write_rows

EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2, "router_aux_loss_coef": 0.1}
MODELS: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama", "tie_word_embeddings": False},
    "qwen2-tied": {"model_type": "qwen2", "tie_word_embeddings": True},
    "mixtral": {"model_type": "mixtral", "output_router_logits": True, **EXPERTS},
}
TUNINGS: dict[str, Any] = {"full": "full", "lora": {"method": "lora", "rank": 4, "dropout": 0.0}}
QLORA: dict[str, Any] = {"qlora": {"method": "qlora", "rank": 4, "dropout": 0.0}}
"""Not in the matrix: its base is divided after it was quantized, by one engine alone."""
BALANCING: dict[str, dict[str, Any]] = {
    "linear": {"loss": "token-balanced", "balancer": "equal"},
    "task-focal": {"loss": "task-focal", "balancer": "equal"},
    "coba": {"loss": "token-balanced", "balancer": ADAPTIVE["coba"]},
    "famo-training": {"loss": "token-balanced", "balancer": ADAPTIVE["famo-training"]},
}
CELLS = tuple(itertools.product(MODELS, TUNINGS, BALANCING))


def prepare(project: Path) -> None:
    """Write data and models to a directory; the tokenizer is trained on the data."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    import mftkit

    write_rows(project / "data" / "big.jsonl", rows("big", 60))
    write_rows(project / "data" / "small.jsonl", rows("small", 24))
    steps = {"max_steps": 1, "batch_size": 4, "micro_batch_size": 4}
    mftkit.run(mftkit.load_spec(small_spec(output="first", training=steps), directory=project))
    tokenizer: Any = AutoTokenizer.from_pretrained(project / "first" / "model")
    config = AutoConfig.from_pretrained(project / "first" / "model")
    for name, model in MODELS.items():
        shape = {
            key: getattr(config, key)
            for key in (
                "vocab_size",
                "bos_token_id",
                "eos_token_id",
                "pad_token_id",
                "max_position_embeddings",
            )
        }
        shape |= {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
        shape |= {"num_attention_heads": 4, "num_key_value_heads": 2}
        torch.manual_seed(1)
        made = cast(Any, AutoModelForCausalLM).from_config(AutoConfig.for_model(**{**shape, **model}))
        made.save_pretrained(project / name)
        tokenizer.save_pretrained(project / name)


def run_name(cell: tuple[str, str, str], engine: str, count: int, dtype: str) -> str:
    """The name of a run's directory."""
    return "-".join((engine, str(count), dtype_of(cell, dtype), *cell))


def dtype_of(cell: tuple[str, str, str], dtype: str) -> str:
    """``dtype``, or float32 for stacked experts, whose matrix products torch has in no wider one."""
    return "float32" if cell[0] == "mixtral" else dtype


def spec_of(
    cell: tuple[str, str, str], engine: str, count: int, options: dict[str, Any], dtype: str
) -> dict[str, Any]:
    """The spec of a run of ``count`` processes: always 8 rows a step, 2 a micro-batch."""
    model, tuning, balancing = cell
    return small_spec(
        **BALANCING[balancing],
        model={"path": model, "dtype": dtype_of(cell, dtype)},
        tuning={**TUNINGS, **QLORA}[tuning],
        output=f"runs/{run_name(cell, engine, count, dtype)}",
        engine="auto" if engine == "single" else {"name": engine.partition("+")[0], "options": options},
        training={
            "max_steps": 4, "batch_size": 8, "micro_batch_size": 2, "log_every": 1, "evaluate_every": 2,
            "checkpoint_every": 100, "keep_checkpoints": 1, "early_stopping": {"patience": 3},
        },
    )  # fmt: skip


def train(
    engine: str, cells: tuple[tuple[str, str, str], ...], dtype: str = "float64", **options: Any
) -> None:
    """Train every cell in this process, one of those that the environment names, one run after another."""
    import mftkit

    count = int(os.environ.get("WORLD_SIZE", "1"))
    for cell in cells:
        mftkit.run(mftkit.load_spec(spec_of(cell, engine, count, options, dtype), directory=Path.cwd()))
