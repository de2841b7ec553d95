from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

import pytest

import commands
from data_path import CHATML, tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fixture_types import Mft

ModelConfig = {
    "model_type": "llama", "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
    "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 512,
}  # fmt: skip


@pytest.fixture
def mft(tmp_path: Path) -> Mft:
    """Runs the command line in this process."""
    return functools.partial(commands.mft, cwd=tmp_path)


@pytest.fixture
def write_spec(tmp_path: Path) -> Callable[..., Path]:
    """Writes rows, a tokenizer and a spec; ``tasks`` are names with rows, or with rows and more keys of the task."""

    def write(tasks: dict[str, Any], tok: Any = None, **changes: Any) -> Path:
        (tokenizer(CHATML) if tok is None else tok).save_pretrained(tmp_path / "tokenizer")
        written = []
        for name, given in tasks.items():
            rows, keys = given if isinstance(given, tuple) else (given, {})
            (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
            written.append({"name": name, "train": [f"{name}.jsonl"], "valid": 0, **keys})
        spec = {
            "name": "shown",
            "output": "run",
            "model": {"init": "random", "config": ModelConfig, "tokenizer": "tokenizer"},
            "tasks": written,
            "data": {"cache": "cache", **changes.pop("data", {})},
            "max_length": 256,
            **changes,
        }
        path = tmp_path / "spec.json"
        path.write_text(json.dumps(spec), "utf-8")
        return path

    return write
