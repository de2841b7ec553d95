"""A rare task among others: what each loss and each balancer gives it, and what that costs the others.

    python bench/imbalance.py DATA [--rare code-repair] [--shares 50,10,2,0.5] [--seeds 3] [--output runs/imbalance]

DATA is a folder of tasks in the paper's format (a folder with train.jsonl and valid.jsonl each). One task is the rare
one: it gets 50, 10, 2 or 0.5 % of the loss tokens, and the others share the rest evenly, so that all runs train for the
same number of steps and about as many tokens. Each loss is trained with equal weights, and each balancer with
``token-balanced``. Seeds are trained one after another: stopped, the same command resumes, and what is there is kept.

Written to the output: ``imbalance.json``, one row for each share, arm, seed and task, with its best validation loss.
``bench/imbalance_figure.py`` draws it.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import mftkit

TASKS = ["code-translation", "code-comment", "code-repair", "code-completion", "text-to-code"]
STEPS, ROWS, LENGTH = 400, 4, 256
VALIDATION_ROWS = 64  # of each task: validation would take longer than training
LOSSES = ["mixed", "token-balanced", "sample-balanced", "sample-focal", "task-focal"]
BALANCERS = ["coba", "famo", "dwa", "uncertainty", "dro"]  # at their defaults
MODEL = {
    "init": "random",
    "config": {
        "model_type": "llama",
        "hidden_size": 64,
        "intermediate_size": 168,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "tie_word_embeddings": True,
    },
    "tokenizer": {"train_bpe": 1024},
    "dtype": "float32",
}


def shorten(data: Path, output: Path) -> None:
    """Write the first validation rows of each task to the output."""
    for task in TASKS:
        lines = (data / task / "valid.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        file = output / "valid" / f"{task}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(lines[:VALIDATION_ROWS]), encoding="utf-8")


def spec(data: Path, output: Path, rare: str, share: float, steps: int) -> dict[str, Any]:
    """The spec of one share: equal but for the mixing."""
    others = (1 - share) / (len(TASKS) - 1)
    return {
        "name": f"imbalance-{share:g}",
        "seed": 1,
        "model": MODEL,
        "tasks": [
            {
                "name": task,
                "train": [str(data.resolve() / task / "train.jsonl")],
                "valid": [str(output.resolve() / "valid" / f"{task}.jsonl")],
            }
            for task in TASKS
        ],
        "mixing": {
            "proportions": {task: share if task == rare else others for task in TASKS},
            "by": "tokens",
        },
        "max_length": LENGTH,
        "data": {"overlong": "drop"},
        "loss": "token-balanced",
        "training": {
            "max_steps": steps,
            "batch_size": ROWS,
            "micro_batch_size": ROWS,
            "learning_rate": 5e-3,
            "min_learning_rate": 5e-4,
            "log_every": 20,
            "evaluate_every": max(1, steps // 4),
            "checkpoint_every": steps,
            "keep_checkpoints": 1,
        },
    }


def rows(result: mftkit.CompareResult, share: float) -> list[dict[str, Any]]:
    """One row for each arm, seed and task that has its loss."""
    table = result.metrics.dropna(subset=["loss"])
    return [
        {
            "share": share,
            "arm": row.arm,
            "seed": int(row.seed),
            "task": row.task,
            "loss": round(float(row.loss), 4),
        }
        for row in table.itertuples()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--rare", default="code-repair", choices=TASKS)
    parser.add_argument("--shares", default="50,10,2,0.5", help="percent of the loss tokens")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--output", type=Path, default=Path("runs/imbalance"))
    options = parser.parse_args()
    shares = [float(share) / 100 for share in options.shares.split(",")]
    shorten(options.data, options.output)
    started, results = time.monotonic(), {}
    for seeds in range(1, options.seeds + 1):
        for share in shares:
            results[share] = mftkit.compare(
                spec(options.data, options.output, options.rare, share, options.steps),
                losses=LOSSES,
                balancers=BALANCERS,
                baselines=[],
                seeds=seeds,
                output=options.output / f"{share:g}",
                progress=False,
            )
            done = {
                "rare": options.rare,
                "steps": options.steps,
                "rows": [row for share, result in results.items() for row in rows(result, share)],
            }
            text = json.dumps(done, indent=1) + "\n"
            (options.output / "imbalance.json").write_text(text, encoding="utf-8")
            if not results[share].is_complete:
                raise SystemExit("stopped; the same command resumes")
            print(f"seeds {seeds}, share {share:g}: {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
