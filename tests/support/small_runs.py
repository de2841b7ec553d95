"""Small real runs: rows made on the spot, a tiny model from a random start, the real command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from commands import mft

MEASURED = ("time", "seconds", "tokens_per_second", "peak_memory_bytes")
"""Keys of metrics.jsonl that differ between two equal runs."""
NOUNS = ("list", "string", "queue", "matrix", "tree", "graph", "file", "table", "number", "date")
VERBS = ("sort", "reverse", "count", "merge", "filter", "parse", "copy", "split", "join", "check")


def rows(task: str, count: int) -> list[dict[str, Any]]:
    """Rows of uneven length in the paper's format; a tiny model can learn them."""
    made = []
    for i in range(count):
        verb, noun = VERBS[i % 10], NOUNS[(i // 10) % 10]
        code = (
            f"def {verb}_{noun}_{i}(value):\n"
            + "    value = step(value)\n" * (i % 4)
            + f"    return {verb}(value)\n"
        )
        turns = [("human", f"{task}: {verb} a {noun} ({i})"), ("bot", code)]
        made.append(
            {"id": i, "data_name": task, "chat_rounds": [{"role": r, "content": c} for r, c in turns]}
        )
    return made


def write_rows(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def small_spec(**changes: Any) -> dict[str, Any]:
    """Two uneven tasks, a Llama of about 30,000 parameters, dropout on."""
    training = {
        "epochs": 1, "batch_size": 16, "micro_batch_size": 8, "learning_rate": 3e-3, "min_learning_rate": 3e-4,
        "warmup": 0.1, "log_every": 2, "evaluate_every": 5, "checkpoint_every": 3, "keep_checkpoints": 2,
        "gradient_checkpointing": False,
    }  # fmt: skip
    spec = {
        "name": "small",
        "output": "run",
        "seed": 7,
        "model": {
            "init": "random",
            "config": {
                "model_type": "llama", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
                "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128,
                "attention_dropout": 0.1, "tie_word_embeddings": False,
            },
            "tokenizer": {"train_bpe": 400},
        },
        "tasks": [
            {"name": "big", "train": ["data/big.jsonl"], "valid": 0.05},
            {"name": "small", "train": ["data/small.jsonl"], "valid": 0.1},
        ],
        "data": {"cache": "cache"},
        "max_length": 96,
        "training": training | changes.pop("training", {}),
    }  # fmt: skip
    return spec | changes


def train(project: Path, spec: dict[str, Any], *arguments: str, name: str = "spec.json") -> Path:
    """Write the spec, train, return the run directory."""
    (project / name).write_text(json.dumps(spec), encoding="utf-8")
    done = mft("run", name, *arguments, cwd=project)
    assert done.returncode == 0, done.stderr
    return project / str(spec["output"])


def metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def unfinished(run: Path, *, keep: tuple[int, ...]) -> None:
    """Put a run back to where only the checkpoints of the steps ``keep`` were written."""
    shutil.rmtree(run / "model")
    for checkpoint in (run / "checkpoints").iterdir():
        if int(checkpoint.name.removeprefix("step-")) not in keep:
            shutil.rmtree(checkpoint)
    lines = [json.dumps(line) + "\n" for line in metrics(run) if line["event"] != "end"]
    (run / "metrics.jsonl").write_text("".join(lines))


def comparable(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without the figures of the clock and of the machine's memory."""
    return [{key: value for key, value in line.items() if key not in MEASURED} for line in lines]


def assert_same_numbers(run: Path, other: Path, rel: float) -> None:
    """The lines of two runs are equal, numbers to ``rel``; the padding depends on the split into micro-batches."""
    lines, others = comparable(metrics(run)), comparable(metrics(other))
    assert len(lines) == len(others)
    for line, theirs in zip(map(_flat, lines), map(_flat, others), strict=True):
        assert line.keys() == theirs.keys()
        numbers = [key for key, value in line.items() if isinstance(value, float)]
        found, expected = [theirs[key] for key in numbers], [line[key] for key in numbers]
        assert found == pytest.approx(expected, rel=rel, abs=rel / 10), (
            f"{other.name}: {line['event']} {line.get('step')}"
        )
        assert all(line[key] == theirs[key] for key in line if key not in numbers)


def _flat(value: Any, place: str = "") -> dict[str, Any]:
    """All numbers and words of a line by their places."""
    if not isinstance(value, dict):
        return {place: value}
    found: dict[str, Any] = {}
    for key, each in value.items():
        if key != "padding":
            found |= _flat(each, f"{place}.{key}" if place else key)
    return found
