"""What each engine sends and what its steps cost, beside the volume that is computed.

    python bench/engines.py [--processes N] [--steps N] [--only ENGINE] [--json FILE]
    python bench/engines.py --growth            more tasks, and longer rows, with ddp
    python bench/engines.py --computed          the volumes of 7B parameters by the same formulas

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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MIB = 1 << 20
ROWS, LENGTH, WARMUP = 8, 128, 2
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "ddp": [{}],
    "fsdp2": [{}, {"reshard_after_forward": False}, {"replicas": 2}],
    "deepspeed": [{"stage": 2}, {"stage": 3}],
}
"""Options with which an engine is measured; one that is not here is measured with its defaults."""
COMPUTED: list[tuple[str, Json]] = [
    ("ddp", {}),
    ("fsdp2", {}),
    ("fsdp2", {"reshard_after_forward": False}),
    ("fsdp2", {"replicas": 8}),
    ("deepspeed", {"stage": 2}),
    ("deepspeed", {"stage": 3}),
]
TUNINGS: dict[str, Any] = {"full": "full", "lora": {"method": "lora", "rank": 8, "alpha": 16}}
GROWTH = ((2, 128), (8, 128), (32, 128), (2, 256), (2, 512))
"""Numbers of tasks, and tokens per row, with which ``--growth`` trains."""
LIVE = 10**9
"""Parameters that DeepSpeed's stage 3 keeps gathered if it needs them again soon (stage3_max_reuse_distance)."""
BYTES_SENT = 200
"""Offset of tcpi_bytes_sent in struct tcp_info (linux/tcp.h)."""

Json = dict[str, Any]


def write_spec(
    directory: Path, engine: Json | str, tuning: Any, steps: int, tasks_count: int, length: int
) -> Path:
    kinds = ("comment", "repair", "completion", "text-to-code")
    config = {"model_type": "llama", "hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 4}
    config |= {"num_attention_heads": 8, "num_key_value_heads": 8, "max_position_embeddings": 512}
    tasks = []
    for number in range(tasks_count):
        options = {"kind": kinds[number % len(kinds)], "samples": 400, "max_characters": 400}
        tasks.append({"name": f"task-{number}", "generator": {"name": "python-source", "options": options}})
    spec = {
        "name": "engines",
        "output": str(directory / "run"),
        "model": {"init": "random", "config": config, "tokenizer": {"train_bpe": 2048}, "dtype": "float32"},
        "tuning": tuning,
        "engine": engine,
        "tasks": tasks,
        "max_length": length,
        "training": {"max_steps": steps, "batch_size": ROWS, "micro_batch_size": 1},
    }
    path = directory / "spec.json"
    path.write_text(json.dumps(spec, indent=1), encoding="utf-8")
    return path


def sent() -> int:
    """Bytes that this process has handed to its TCP connections."""
    total = 0
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            if not entry.is_socket():
                continue
            with socket.socket(fileno=os.dup(int(entry.name))) as connection:
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
    whole = {name: getattr(p, "ds_numel", p.numel()) for name, p in model.named_parameters()}
    base = {name: count for name, count in whole.items() if "lora_" not in name}
    trained = sum(whole[name] for name, p in model.named_parameters() if p.requires_grad)
    kept = sum(
        count for name, count in base.items() if "lm_head" in name or name.endswith("model.norm.weight")
    )
    return {"base": sum(base.values()), "trained": trained, "kept": kept}


@dataclass(frozen=True)
class Job:
    """What decides how many bytes a step sends."""

    base: int
    """Parameters of the base model, without adapters."""
    trained: int
    """Trained parameters, in float32."""
    kept: int
    """Of ``base``: head and last norm, which are gathered once per micro-batch."""
    base_bytes: int
    """Bytes of a base's parameter as it is stored: 4 if it is trained or computes in float32, 2 in bfloat16."""
    processes: int
    micro_batches: int
    """Of each process in a step."""
    scatter: int = 1
    """Rounds of a reduce-scatter: 2 where it is an all-reduce, of which the result is cut (gloo)."""


def computed(engine: str, options: Json, job: Job) -> float | None:
    """Bytes that a process sends in a step, by docs/scale.md; None for an engine that has no formula there."""
    gradients, full = 4 * job.trained, job.trained == job.base
    share = _share(job.processes)
    if engine == "single":
        return 0.0
    if engine == "ddp":
        return 2 * share * gradients
    if engine == "fsdp2":
        replicas = options.get("replicas", 1)
        shards = job.processes // replicas
        times = 2 if options.get("reshard_after_forward", True) else 1
        volume = _share(shards) * job.base_bytes * (times * job.base - (times - 1) * job.kept)
        if full:
            volume += job.scatter * _share(shards) * gradients + 2 * _share(replicas) * gradients / shards
        return job.micro_batches * volume + (0 if full else 2 * share * gradients)
    if engine == "deepspeed" and options.get("stage", 2) == 2:
        return job.micro_batches * 2 * share * gradients + share * gradients
    if engine == "deepspeed":
        adapters = 0 if full else gradients
        gathered = job.base_bytes * (job.base + max(0, job.base - LIVE)) + adapters
        return job.micro_batches * share * (gathered + job.scatter * gradients)
    return None


def _share(count: int) -> float:
    """Of a tensor, what each of ``count`` processes in a ring sends in one round."""
    return (count - 1) / count


def print_computed() -> None:
    """Print the table of a model of the shapes of Qwen2.5-7B: 64 rows per step, one per forward pass."""
    base, kept, adapters = 7_615_616_512, 152_064 * 3584 + 3584, 161_480_704
    print("| engine | options | full, 8 devices | full, 64 | LoRA, 8 devices | LoRA, 64 |")
    print("| --- | --- | --- | --- | --- | --- |")
    for engine, options in COMPUTED:
        cells = []
        for trained, base_bytes in ((base, 4), (adapters, 2)):
            for count in (8, 64):
                job = Job(base, trained, kept, base_bytes, count, 64 // count)
                volume = computed(engine, options, job) if count > options.get("replicas", 1) else None
                cells.append("-" if volume is None else f"{volume / 2**30:.1f}")
        print(f"| {engine} | {shown_options(options)} | {' | '.join(cells)} |")


def shown_options(options: Json) -> str:
    return ", ".join(f"{key} {json.dumps(value)}" for key, value in options.items())


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


def engines(count: int) -> list[tuple[str, Json]]:
    """The installed engines with the options to measure; copies of a model only where each has several processes."""
    from mftkit.plugins import installed, kinds

    names = [row.name for row in installed.registry().plugins if row.kind == kinds.ENGINE.name]
    found = [(name, options) for name in names for options in VARIANTS.get(name, [{}])]
    return [("single", {})] + [each for each in found if count >= 2 * each[1].get("replicas", 1)]


def measured(
    engine: str, options: Json, tuning: str, steps: int, count: int, tasks: int = 2, length: int = LENGTH
) -> Json:
    """What a run with an engine takes, beside what is computed for it."""
    with tempfile.TemporaryDirectory() as directory:
        chosen = "auto" if engine == "single" else {"name": engine, "options": options}
        each = processes(
            write_spec(Path(directory), chosen, TUNINGS[tuning], WARMUP + steps, tasks, length), count
        )
    sizes = {key: each[0][key] for key in ("base", "trained", "kept")}
    line = {
        "engine": engine,
        "options": options,
        "tuning": tuning,
        "processes": count,
        "tasks": tasks,
        "length": length,
        **sizes,
    }
    line |= {"cpu": sum(found["cpu"] for found in each), "wall": max(found["wall"] for found in each)}
    line["sent"] = statistics.mean(found["sent"] for found in each)
    for key, scatter in (("computed", 1), ("gloo", 2)):
        job = Job(**sizes, base_bytes=4, processes=count, micro_batches=ROWS // count, scatter=scatter)
        line[key] = computed(engine, options, job)
    return line


def print_growth(steps: int, count: int) -> None:
    """Measure one engine with more tasks, and with longer rows, and print a line for each."""
    print("| tasks | tokens per row | tuning | CPU s | wall s | sent, MiB |")
    print("| --- | --- | --- | --- | --- | --- |")
    for tasks, length in GROWTH:
        line = measured("ddp", {}, "full", steps, count, tasks, length)
        cells = [
            tasks,
            length,
            "full",
            f"{line['cpu']:.2f}",
            f"{line['wall']:.2f}",
            f"{line['sent'] / MIB:.3f}",
        ]
        print(f"| {' | '.join(map(str, cells))} |", flush=True)


def main() -> None:
    """Measure every engine with every tuning, and print a line for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--steps", type=int, default=12, help="steps that count")
    parser.add_argument("--only", metavar="ENGINE", help="measure this engine alone")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument(
        "--computed", action="store_true", help="print the computed table of 7B parameters alone"
    )
    parser.add_argument(
        "--growth", action="store_true", help="measure more tasks and longer rows, with ddp, instead"
    )
    given = parser.parse_args()
    if given.computed:
        print_computed()
        return
    if given.measure:
        print(json.dumps(measure(given.measure)))
        return
    if given.growth:
        print_growth(given.steps, given.processes)
        return
    print("| engine | options | tuning | CPU s | wall s | sent, MiB | computed, MiB | gloo, MiB |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    lines = []
    for tuning in TUNINGS:
        for engine, options in engines(given.processes):
            if given.only not in (None, engine):
                continue
            count = 1 if engine == "single" else given.processes
            line = measured(engine, options, tuning, given.steps, count)
            lines.append(line)
            sizes = [line[key] for key in ("sent", "computed", "gloo")]
            cells = ["-" if size is None else f"{size / MIB:.1f}" for size in sizes]
            cells = [
                engine,
                shown_options(options),
                tuning,
                f"{line['cpu']:.2f}",
                f"{line['wall']:.2f}",
                *cells,
            ]
            print(f"| {' | '.join(cells)} |", flush=True)
    if given.json:
        given.json.write_text(
            json.dumps({"torch": __import__("torch").__version__, "lines": lines}, indent=1), "utf-8"
        )


if __name__ == "__main__":
    main()
