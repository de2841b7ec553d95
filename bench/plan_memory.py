"""The peak memory of real training steps on the CPU beside what ``mft plan`` predicts for them.

    python bench/plan_memory.py [--shape NAME]... [--json]

Each shape trains three steps of the real training loop's own step in a new process: in full and with LoRA, with
and without gradient checkpointing. "measured" is the most bytes of all tensors that were alive at once, counted by the
storages that the operations made: the number that ``torch.cuda.max_memory_allocated`` counts on a GPU. "resident" is
the growth of the process's resident memory from before the model was loaded to its peak: it has the work space of
matrix products and what the allocator has not returned, too.
"""

from __future__ import annotations

import argparse
import gc
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import mftkit
from mftkit.reporting.reporter import Reporter
from mftkit.tools.plan.devices import host
from mftkit.tools.plan.engines import engines_of
from mftkit.tools.plan.live_bytes import LiveBytes
from mftkit.tools.plan.resource_plan import plan_resources
from mftkit.training.meter import Meter
from mftkit.training.setup import build_run, check_run
from mftkit.training.train_step import TrainStep

if TYPE_CHECKING:
    from mftkit.spec import Spec

COMMON = {"tie_word_embeddings": False, "max_position_embeddings": 1024}
SHAPES: dict[str, dict[str, Any]] = {
    "llama": {
        "model_type": "llama", "hidden_size": 512, "intermediate_size": 1376, "num_hidden_layers": 8,
        "num_attention_heads": 8, "num_key_value_heads": 8,
    },
    "qwen2": {
        "model_type": "qwen2", "hidden_size": 384, "intermediate_size": 2048, "num_hidden_layers": 10,
        "num_attention_heads": 6, "num_key_value_heads": 2, "tie_word_embeddings": True,
    },
    "gpt_neox": {
        "model_type": "gpt_neox", "hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 6,
        "num_attention_heads": 8, "hidden_act": "gelu",
    },
    "mixtral": {
        "model_type": "mixtral", "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 7,
        "num_attention_heads": 4, "num_key_value_heads": 2, "num_local_experts": 4, "num_experts_per_tok": 2,
    },
}  # fmt: skip
VARIANTS = {
    "full": {},
    "full, checkpointing": {"training.gradient_checkpointing": True},
    "lora": {"tuning": "lora"},
    "lora, checkpointing": {"tuning": "lora", "training.gradient_checkpointing": True},
}
STEPS, ROWS, MAX_LENGTH = 3, 2, 512


def spec_of(shape: str, variant: str, directory: Path) -> Spec:
    """The spec of a shape, with data that fills its rows with loss tokens."""
    data = directory / "data.jsonl"
    text = " ".join(str(i) for i in range(400))
    data.write_text("".join(json.dumps({"text": f"{i} {text}"}) + "\n" for i in range(12)))
    spec = {
        "name": shape,
        "output": str(directory / "run"),
        "model": {
            "init": "random",
            "config": {**COMMON, "vocab_size": 8192, **SHAPES[shape]},
            "tokenizer": {"train_bpe": 400},
        },
        "tasks": [{"name": "numbers", "train": [str(data)], "format": "text"}],
        "data": {"cache": str(directory / "cache")},
        "max_length": MAX_LENGTH,
        "training": {"batch_size": ROWS, "micro_batch_size": ROWS, "max_steps": STEPS},
    }
    (directory / "spec.json").write_text(json.dumps(spec))
    changes = [f"{key}={json.dumps(value)}" for key, value in VARIANTS[variant].items()]
    return mftkit.load_spec(directory / "spec.json", changes)


def status(key: str) -> int:
    """A figure of this process's status, in bytes."""
    text = Path("/proc/self/status").read_text()
    found = re.search(rf"^{key}:\s+(\d+) kB", text, re.MULTILINE)
    assert found, f"the system reports {key}"
    return int(found[1]) * 1024


def measure(shape: str, variant: str) -> dict[str, Any]:
    """Train a few steps, and compare their peak with the plan."""
    with tempfile.TemporaryDirectory() as directory:
        spec = spec_of(shape, variant, Path(directory))
        planned = plan_resources(spec, engines_of(spec), host())
        checked = check_run(spec, Reporter())
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from now on
        before = status("VmRSS")
        run = build_run(checked, None)
        held = {t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in tensors(run.logprob_model)}
        step, meter = TrainStep.of(run), Meter(len(spec.tasks), run.device, checked.objective.dtype)
        live = LiveBytes(tensors(run.logprob_model))
        with live:
            for number in range(1, STEPS + 1):
                step(checked.sampler[number], 1e-4, meter)
        predicted = planned.engines[0].memory
        return {
            "shape": shape,
            "variant": variant,
            "predicted": predicted.total,
            "measured": sum(held.values()) + live.peak,
            "resident": status("VmHWM") - before,
            "threads": torch.get_num_threads(),
        }


def tensors(model: torch.nn.Module) -> list[torch.Tensor]:
    """The parameters and buffers of a model."""
    return [*model.parameters(), *model.buffers()]


def main() -> None:
    """Measure every shape and variant, each in its own process, and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", action="append", choices=SHAPES)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(*given.one)))
        return
    if not given.json:
        print(f"{'shape':10} {'variant':22} {'predicted':>10} {'measured':>10} {'error':>7} {'resident':>10}")
    for shape in given.shape or SHAPES:
        for variant in VARIANTS:
            done = subprocess.run(
                [sys.executable, __file__, "--one", shape, variant],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise SystemExit(done.stderr)
            row = json.loads(done.stdout.splitlines()[-1])
            if given.json:
                print(json.dumps(row))
                continue
            error = row["predicted"] / row["measured"] - 1
            sizes = [f"{row[key] / 2**20:.0f} MiB" for key in ("predicted", "measured", "resident")]
            print(
                f"{shape:10} {variant:22} {sizes[0]:>10} {sizes[1]:>10} {error:+7.1%} {sizes[2]:>10}",
                flush=True,
            )


if __name__ == "__main__":
    main()
