"""What each engine sends and what its steps cost, beside the volume that is computed.

    python bench/engines.py [--processes N] [--steps N] [--json FILE]

A small Llama (hidden size 256, 4 layers) trains on Python source, 8 rows of 128 tokens per step and one row per forward
pass, fully and with LoRA (rank 8), with every engine that is installed, in float32. Each line is one run with N
processes (default 2; "single": one process with the same 8 rows):

    CPU s       processor seconds of a step, of all processes together, waiting included where a process spins
    wall s      seconds of a step
    sent        MiB that a process has handed to TCP in a step, headers not included (``tcp_info.tcpi_bytes_sent``)
    computed    MiB by the formulas of docs/scale.md, for rings
    gloo        the same, with each reduce-scatter as the all-reduce of which gloo makes it

All three are medians over steps, after two that are not counted; "sent" is the mean over processes. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

MIB = 1 << 20
ROWS, MICRO, LENGTH, WARMUP = 8, 1, 128, 2
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "ddp": [{}],
    "fsdp2": [{}, {"reshard_after_forward": False}],
    "deepspeed": [{"stage": 2}, {"stage": 3}],
}
"""Options with which an engine is measured; one that is not here is measured with its defaults."""
TUNINGS: dict[str, Any] = {"full": "full", "lora": {"method": "lora", "rank": 8, "alpha": 16}}
BYTES_SENT = 200
"""Offset of tcpi_bytes_sent in struct tcp_info (linux/tcp.h)."""

Json = dict[str, Any]


def write_spec(directory: Path, engine: Json | str, tuning: Any, steps: int) -> Path:
    kinds = {"code-comment": "comment", "code-repair": "repair"}
    config = {"model_type": "llama", "hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 4}
    config |= {"num_attention_heads": 8, "num_key_value_heads": 8, "max_position_embeddings": 512}
    tasks = []
    for name, kind in kinds.items():
        options = {"kind": kind, "samples": 800, "max_characters": 400}
        tasks.append({"name": name, "generator": {"name": "python-source", "options": options}})
    spec = {
        "name": "engines",
        "output": str(directory / "run"),
        "model": {"init": "random", "config": config, "tokenizer": {"train_bpe": 2048}, "dtype": "float32"},
        "tuning": tuning,
        "engine": engine,
        "tasks": tasks,
        "max_length": LENGTH,
        "training": {"max_steps": steps, "batch_size": ROWS, "micro_batch_size": MICRO},
    }
    path = directory / "spec.json"
    path.write_text(json.dumps(spec, indent=1), encoding="utf-8")
    return path


def sent() -> int:
    """Bytes that this process has handed to its TCP connections."""
    total = 0
    for entry in os.listdir("/proc/self/fd"):
        with suppress(OSError), socket.socket(fileno=os.dup(int(entry))) as connection:
            info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, BYTES_SENT + 8)
            if len(info) == BYTES_SENT + 8:
                total += struct.unpack_from("Q", info, BYTES_SENT)[0]
    return total


def measure(spec_path: str) -> Json:
    """Train in this process, one of those that the environment names: bytes and seconds of each step."""
    import torch

    import mftkit
    from mftkit.reporting.reporter import Reporter
    from mftkit.training.meter import Meter
    from mftkit.training.setup import build_run, check_run
    from mftkit.training.train_step import TrainStep

    torch.set_num_threads(1)
    spec = mftkit.load_spec(spec_path)
    checked = check_run(spec, Reporter())
    run = build_run(checked)
    train_step = TrainStep.of(run)
    meter = Meter(len(spec.tasks), run.device, checked.objective.dtype)
    run.logprob_model.train()
    sizes = parameter_sizes(run.model)
    lines = []
    for number in range(1, spec.training.max_steps + 1):  # type: ignore[operator]
        start, used, before = time.perf_counter(), time.process_time(), sent()
        train_step(checked.sampler[number], 1e-4, meter)
        lines.append((time.perf_counter() - start, time.process_time() - used, sent() - before))
    wall, cpu, volume = (statistics.median(column) for column in zip(*lines[WARMUP:], strict=True))
    return {"wall": wall, "cpu": cpu, "sent": volume, **sizes}


def parameter_sizes(model: Any) -> Json:
    """Numbers of parameters: all, those that are trained, and those of the base, and of its head with the last norm."""
    import math

    counts = {
        name: math.prod(p.shape) if p.numel() == 0 else p.numel() for name, p in model.named_parameters()
    }
    whole = {name: getattr(p, "ds_numel", counts[name]) for name, p in model.named_parameters()}
    base = {name: count for name, count in whole.items() if "lora_" not in name}
    trained = sum(whole[name] for name, p in model.named_parameters() if p.requires_grad)
    kept = sum(
        count for name, count in base.items() if "lm_head" in name or name.endswith("model.norm.weight")
    )
    return {"base": sum(base.values()), "trained": trained, "kept": kept}


def computed(engine: str, options: Json, found: Json, count: int, *, gloo: bool) -> float | None:
    """Bytes that a process sends in a step, by docs/scale.md; None for an engine that has no formula there."""
    share = (count - 1) / count
    micro_batches = ROWS // MICRO // count
    base, trained = 4 * found["base"], 4 * found["trained"]
    full = trained == base
    scatter = (2 if gloo else 1) * share
    if engine == "single":
        return 0.0
    if engine == "ddp":
        return 2 * share * trained
    if engine == "fsdp2":
        twice = options.get("reshard_after_forward", True)
        gathered = 2 * base - 4 * found["kept"] if twice else base
        in_micro_batch = share * gathered + (scatter * trained if full else 0)
        return micro_batches * in_micro_batch + (0 if full else 2 * share * trained)
    if engine == "deepspeed" and options.get("stage", 2) == 2:
        return micro_batches * 2 * share * trained + share * trained
    return None


def processes(spec: Path, count: int) -> list[Json]:
    """What each of ``count`` processes has measured."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    started = []
    for rank in range(count):
        variables = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
        environment = {**os.environ, **place, **{name: str(value) for name, value in variables.items()}}
        command = [sys.executable, __file__, "--measure", str(spec)]
        started.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE))
    printed = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise SystemExit("a process failed")
    return [json.loads(text.splitlines()[-1]) for text in printed]


def engines() -> list[tuple[str, Json]]:
    """The installed engines with the options to measure."""
    from mftkit.plugins import installed, kinds

    names = [row.name for row in installed.registry().plugins if row.kind == kinds.ENGINE.name]
    return [("single", {})] + [(name, each) for name in names for each in VARIANTS.get(name, [{}])]


def main() -> None:
    """Measure every engine with every tuning, and print a line for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--steps", type=int, default=12, help="steps that count")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(given.measure)))
        return
    print("| engine | options | tuning | CPU s | wall s | sent, MiB | computed, MiB | gloo, MiB |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    lines = []
    for tuning, value in TUNINGS.items():
        for engine, options in engines():
            count = 1 if engine == "single" else given.processes
            with tempfile.TemporaryDirectory() as directory:
                chosen = "auto" if engine == "single" else {"name": engine, "options": options}
                each = processes(write_spec(Path(directory), chosen, value, WARMUP + given.steps), count)
            line = {"engine": engine, "options": options, "tuning": tuning, "processes": count}
            line |= {key: each[0][key] for key in ("base", "trained", "kept")}
            line |= {"cpu": sum(found["cpu"] for found in each), "wall": max(found["wall"] for found in each)}
            line["sent"] = statistics.mean(found["sent"] for found in each)
            for key, gloo in (("computed", False), ("gloo", True)):
                line[key] = computed(engine, options, each[0], count, gloo=gloo)
            lines.append(line)
            shown = [
                "-" if line[key] is None else f"{line[key] / MIB:.1f}" for key in ("sent", "computed", "gloo")
            ]
            words = ", ".join(f"{key} {json.dumps(value)}" for key, value in options.items())
            seconds = f"{line['cpu']:.2f} | {line['wall']:.2f}"
            print(f"| {engine} | {words} | {tuning} | {seconds} | {' | '.join(shown)} |", flush=True)
    if given.json:
        given.json.write_text(
            json.dumps({"torch": __import__("torch").__version__, "lines": lines}, indent=1), "utf-8"
        )


if __name__ == "__main__":
    main()
