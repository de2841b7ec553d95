"""Checkpoints of a full fine-tuning: how long a step waits for one, how long it is written, and what the result costs.

    python bench/checkpoint.py OUTPUT [--hidden 1024] [--layers 8] [--steps 12]

A Llama with random weights is trained for some steps, with a checkpoint after every fourth, by one process and by two
with the engine fsdp2. "wait" is the time that a step waits for a checkpoint: the copy to host memory, the messages
between processes, and the completion. "write" is the time in which files are written and flushed, while training
continues. "first" is of the first checkpoint, which also gets the memory for the copy. "result" is the
anonymous memory of the main process, which the system cannot drop: before it writes model/, and the most until it has
read model/ back. Each step is slower while files are written if all cores are busy; that is no part of "wait".

Prints a table, and writes OUTPUT/checkpoint.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

PLUGIN = '''
import atexit, functools, json, os, threading, time
from pathlib import Path

import mftkit
import mftkit.tools.run as run_module
from mftkit.training import checkpoint_writing, loop

found = {"wait": [], "write": [], "result": 0}
pending = 0.0


def timed(owner, name, done):
    function = getattr(owner, name)

    @functools.wraps(function)
    def call(*arguments, **more):
        start = time.perf_counter()
        try:
            return function(*arguments, **more)
        finally:
            done(time.perf_counter() - start)

    setattr(owner, name, call)


def saved(seconds):
    global pending
    pending += seconds


def completed(seconds):
    global pending
    if pending:
        found["wait"].append(pending + seconds)
    pending = 0.0


def written(work, *, in_thread):
    if work.func is checkpoint_writing._remove:
        return start_work(work, in_thread=in_thread)

    def run():
        start = time.perf_counter()
        try:
            return work()
        finally:
            found["write"].append(time.perf_counter() - start)

    return start_work(run, in_thread=in_thread)


def anonymous():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


def watched(function):
    @functools.wraps(function)
    def call(*arguments, **more):
        ended, before = threading.Event(), anonymous()

        def look():
            while not ended.wait(0.005):
                found["result"] = max(found["result"], anonymous())

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            return function(*arguments, **more)
        finally:
            ended.set()
            thread.join()
            found["before"] = found.get("before", before)

    return call


start_work = checkpoint_writing._run
checkpoint_writing._run = written
timed(loop.Trainer, "save", saved)
timed(checkpoint_writing.CheckpointWriting, "complete", completed)
run_module.write_results = watched(run_module.write_results)


@mftkit.hookimpl
def on_run_start(run, step):
    """A plugin has a hook."""


rank = os.environ.get("RANK", "0")


@atexit.register
def report():
    if found["wait"]:  # else this is the launcher, which loads the plugin to check the spec
        Path(os.environ["BENCH_OUTPUT"], f"rank-{rank}.json").write_text(json.dumps(found))

'''


def spec(hidden: int, layers: int, steps: int) -> dict[str, Any]:
    """A Llama of about ``16 * layers * hidden ** 2`` weights and a small vocabulary."""
    config = {
        "model_type": "llama", "hidden_size": hidden, "intermediate_size": 4 * hidden, "num_hidden_layers": layers,
        "num_attention_heads": 8, "num_key_value_heads": 8, "max_position_embeddings": 128,
    }  # fmt: skip
    return {
        "model": {"init": "random", "config": config, "tokenizer": {"train_bpe": 300}},
        "tasks": [{"name": "a", "train": "a.jsonl", "valid": 0.05}],
        "tuning": "full",
        "plugins": ["timings.py"],
        "max_length": 64,
        "output": "run",
        "training": {
            "max_steps": steps, "batch_size": 2, "micro_batch_size": 1, "log_every": 1,
            "evaluate_every": 10**6, "checkpoint_every": 4, "keep_checkpoints": 1,
        },
    }  # fmt: skip


def measure(place: Path, processes: int, arguments: argparse.Namespace) -> dict[str, Any]:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    (place / "timings.py").write_text(PLUGIN)
    (place / "spec.json").write_text(json.dumps(spec(arguments.hidden, arguments.layers, arguments.steps)))
    rows = [
        {"instruction": f"number {i}", "output": " ".join(str(i * k * k % 997) for k in range(1, 30))}
        for i in range(200)
    ]
    (place / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [sys.executable, "-m", "mftkit.cli", "run", "spec.json"]
    if processes > 1:
        command += ["--processes", str(processes), "--set", "engine=fsdp2"]
    environment = {**os.environ, "BENCH_OUTPUT": str(place)}
    subprocess.run(command, cwd=place, env=environment, check=True, stderr=subprocess.DEVNULL)
    ranks = [json.loads((place / f"rank-{rank}.json").read_text()) for rank in range(processes)]
    checkpoint = max((place / "run" / "checkpoints").iterdir())
    files = [file for file in checkpoint.rglob("*") if file.is_file()]
    model = (place / "run" / "model" / "model.safetensors").stat().st_size
    lines = [json.loads(line) for line in (place / "run" / "metrics.jsonl").read_text().splitlines()]
    waits, writes = ranks[0]["wait"], ranks[0]["write"]
    found = {
        "processes": processes,
        "model_bytes": model,
        "checkpoint_bytes": sum(file.stat().st_size for file in files),
        "files": len(files),
        "wait_seconds": waits,
        "write_seconds": writes,
        "step_seconds": statistics.median(line["seconds"] for line in lines if line["event"] == "train"),
        "result_anonymous_bytes": ranks[0]["result"],
        "before_result_anonymous_bytes": ranks[0]["before"],
    }
    shutil.rmtree(place / "run")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", type=Path)
    parser.add_argument("--hidden", type=int, default=1024)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--steps", type=int, default=12)
    arguments = parser.parse_args()
    arguments.output = arguments.output.absolute()
    found = [measure(arguments.output / str(count), count, arguments) for count in (1, 2)]
    (arguments.output / "checkpoint.json").write_text(json.dumps(found, indent=2) + "\n")
    print(
        "| processes | model | checkpoint, files | first: wait, write | later | share | result: before, most |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for each in found:
        model = each["model_bytes"]
        wait, write = (
            statistics.median(each[key][1:-1] or each[key][1:]) for key in ("wait_seconds", "write_seconds")
        )
        first = f"{each['wait_seconds'][0]:.2f} s, {each['write_seconds'][0]:.2f} s"
        size = f"{each['checkpoint_bytes'] / 1e6:.0f} MB, {each['files']}"
        print(
            f"| {each['processes']} | {model / 1e6:.0f} MB | {size} | {first} | {wait:.2f} s, {write:.2f} s "
            f"| {wait / write:.1%} | {each['before_result_anonymous_bytes'] / 1e6:.0f} MB, "
            f"{each['result_anonymous_bytes'] / 1e6:.0f} MB |"
        )


if __name__ == "__main__":
    main()
