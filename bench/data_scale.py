"""What data costs as it grows: time, disk and memory from files to the first optimizer step.

    python bench/data_scale.py [--samples N,N,...] [--directory DIR] [--processes N] [--json FILE] [--keep]

Makes data of five tasks of uneven sizes (JSON Lines: questions and answers, conversations, texts; about 300 tokens a
sample) for each number of samples, and prepares them, lays out the first epoch (best-fit packing) and makes the first
optimizer step of a tiny Llama, each time in a new process:

    tokenized   an empty cache: reads, tokenizes, writes the table, maps it
    cached      the cache is there: what every other process of the machine does, and every later run

"anonymous" is the highest memory of the process that is not backed by a file (RssAnon, read every 10 ms). "over base"
is what the data adds: that memory less that of a run of 200 samples in the same stage (prepare, lay out, load the
model, step), in the stage where the difference is greatest; so it leaves out what Python, torch, transformers and the
tiny model take by themselves. "resident" is the highest resident memory (VmHWM): anonymous memory, libraries and the
mapped pages of the cache, which the system takes back when it needs them. "helper" is that of the largest process that
this one started to tokenize (0: none), and "cpu us" the processor time of preparing in all of them, in microseconds per
sample. The directory (by default a temporary one) needs about 2 GiB for each million samples; everything in it is
removed afterwards unless ``--keep``. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Json = dict[str, Any]

SIZES = "10000,100000,1630322"
BASE = 200
"""Samples of the run that all others are compared with."""
SHARES = {"completion": 0.55, "text-to-code": 0.25, "comment": 0.12, "repair": 0.06, "translation": 0.02}
MIB = 1 << 20
_BLOCK = 2000
"""Rows that are drawn at once."""


def write_data(directory: Path, samples: int) -> dict[str, Path]:
    """Write each task's file, and return it by the task's name; the same number of samples gives the same bytes."""
    directory.mkdir(parents=True)
    files = {task: directory / f"{task}.jsonl" for task in SHARES}
    for number, (task, share) in enumerate(SHARES.items()):
        with files[task].open("w", encoding="utf-8") as file:
            for row in _rows(task, number, max(8, round(share * samples))):
                file.write(json.dumps(row) + "\n")
    return files


def _rows(task: str, number: int, count: int) -> Iterator[Json]:
    lines = _lines()
    random = np.random.default_rng([number, 1])
    for start in range(0, count, _BLOCK):
        rows = min(_BLOCK, count - start)
        sizes = np.clip(random.lognormal(2.5, 0.7, rows), 2, 60).astype(int)
        picked = random.integers(len(lines), size=int(sizes.sum()))
        ends = np.cumsum(sizes)
        for row, (end, size) in enumerate(zip(ends.tolist(), sizes.tolist(), strict=True), start):
            text = [lines[place] for place in picked[end - size : end].tolist()]
            yield _row(task, row, text)


def _row(task: str, row: int, text: list[str]) -> Json:
    half = len(text) // 2
    first, second = "\n".join(text[:half]), "\n".join(text[half:])
    if task == "completion":
        return {"id": row, "text": f"# file {row}\n{first}\n{second}"}
    if task == "comment":
        turns = [
            ("user", f"Comment {row}:\n{first}"),
            ("assistant", "Calls three functions."),
            ("user", "Again."),
        ]
        turns.append(("assistant", second))
        return {"id": row, "messages": [{"role": role, "content": content} for role, content in turns]}
    return {"id": row, "prompt": f"Task {row} of {task}:\n{first}", "answer": second}


def _lines() -> list[str]:
    """Lines of code of random identifiers."""
    random = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(random.choice(letters, size)) for size in random.integers(2, 9, 3000)]
    drawn = random.choice(words, (20000, 5))
    return [f"    {a}_{b} = {c}.{d}({e}, {n % 97})" for n, (a, b, c, d, e) in enumerate(drawn.tolist())]


def write_spec(directory: Path, files: dict[str, Path], processes: int | None) -> Path:
    """Write the spec of a run over the files, with a tokenizer of 4096 tokens trained on the first of their rows."""
    from mftkit.data.tokens.train_tokenizer import train_bpe

    texts = [json.dumps(row) for task in SHARES for row in _rows(task, 0, 400)]
    train_bpe(texts, 4096).save_pretrained(directory / "tokenizer")
    config = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
    config |= {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 1024}
    tasks = [
        {
            "name": task,
            "train": [str(file)],
            "valid": 0.01,
            "format": "text" if task == "completion" else "chat",
        }
        for task, file in files.items()
    ]
    spec = {
        "name": "data-scale",
        "output": str(directory / "run"),
        "model": {"init": "random", "config": config, "tokenizer": "tokenizer", "dtype": "float32"},
        "tuning": {"method": "full"},
        "tasks": tasks,
        "data": {"cache": str(directory / "cache"), "processes": processes},
        "max_length": 1024,
        "training": {"epochs": 1, "batch_size": 8, "micro_batch_size": 4, "evaluate_every": "epoch"},
    }
    path = directory / "spec.json"
    path.write_text(json.dumps(spec, indent=1), encoding="utf-8")
    return path


class Memory:
    """The highest anonymous memory of this process, in bytes, between two readings; a thread reads it."""

    def __init__(self) -> None:
        self.highest = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        self._thread.join()

    def take(self) -> int:
        """Return the highest since the last call."""
        self.highest, highest = 0, max(self.highest, status("RssAnon"))
        return highest

    def _watch(self) -> None:
        while not self._ended.wait(0.01):
            self.highest = max(self.highest, status("RssAnon"))


def status(key: str) -> int:
    """A field of /proc/self/status in bytes."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{key}:"):
            return 1024 * int(line.split()[1])
    raise KeyError(key)


def measure(spec_path: str) -> Json:
    """Prepare, lay out and make one step in this process: seconds, and bytes of memory, of each stage."""
    import torch

    import mftkit
    from mftkit.reporting.reporter import Reporter
    from mftkit.training import setup
    from mftkit.training.meter import Meter
    from mftkit.training.train_step import TrainStep

    torch.set_num_threads(1)
    seconds: dict[str, float] = {}
    processor: dict[str, float] = {}
    anonymous: dict[str, int] = {}
    with Memory() as memory:

        def stage(name: str, work: Callable[[], Any]) -> Any:
            memory.take()
            start, used = time.perf_counter(), time.process_time()
            result = work()
            seconds[name] = time.perf_counter() - start
            processor[name] = time.process_time() - used
            anonymous[name] = memory.take()
            return result

        def staged(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
            return lambda *given: stage(name, lambda: function(*given))

        spec = mftkit.load_spec(spec_path)
        setup.prepare = staged("prepare", setup.prepare)
        setup.make_sampler = staged("layout", setup.make_sampler)
        checked = setup.check_run(spec, Reporter())
        run = stage("model", lambda: setup.build_run(checked))
        meter = Meter(len(spec.tasks), run.device, checked.objective.dtype)
        stage("step", lambda: TrainStep.of(run)(checked.sampler[1], 1e-3, meter))
        held = status("RssAnon")
    return {
        "seconds": seconds,
        "processor_seconds": processor,
        "anonymous": anonymous,
        "anonymous_highest": max(anonymous.values()),
        "anonymous_held": held,
        "resident_highest": status("VmHWM"),
        "helper_highest": 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss,
        "helper_seconds": resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime,
        "samples": len(checked.corpus.train) + len(checked.corpus.valid),
        "tokens": sum(report.train_tokens for report in checked.corpus.reports),
        "steps": checked.sampler.total,
    }


def in_process(spec: Path) -> Json:
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, __file__, "--measure", str(spec)], stdout=subprocess.PIPE, check=True
    )
    found: Json = json.loads(done.stdout)
    return {**found, "wall": time.perf_counter() - start}


def size_of(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def scale(directory: Path, samples: int, processes: int | None) -> Json:
    start = time.perf_counter()
    spec = write_spec(directory, write_data(directory / "data", samples), processes)
    made = time.perf_counter() - start
    tokenized = in_process(spec)
    disk = {"data": size_of(directory / "data"), "cache": size_of(directory / "cache")}
    return {"made_in": made, "disk": disk, "tokenized": tokenized, "cached": in_process(spec)}


def row_of(found: Json, kind: str, base: Json) -> str:
    one, seconds = found[kind], found[kind]["seconds"]
    over = max(one["anonymous"][stage] - base["anonymous"][stage] for stage in one["anonymous"])
    disk = found["disk"]
    processor = one["processor_seconds"]["prepare"] + one["helper_seconds"]
    return (
        f"{one['samples']:>9,} {one['tokens'] / 1e6:>8.1f} {kind:>10} {seconds['prepare']:>9.1f} "
        f"{1e6 * processor / one['samples']:>9.0f} {seconds['layout']:>8.2f} {seconds['step']:>6.2f} "
        f"{disk['data'] / MIB:>9,.0f} {disk['cache'] / MIB:>10,.0f} {one['anonymous_highest'] / MIB:>10,.0f} "
        f"{over / MIB:>10,.0f} {one['resident_highest'] / MIB:>9,.0f} {one['helper_highest'] / MIB:>7,.0f}"
    )


HEADER = (
    f"{'samples':>9} {'M tokens':>8} {'':>10} {'prepare s':>9} {'cpu us':>9} {'layout s':>8} {'step s':>6} "
    f"{'data MiB':>9} {'cache MiB':>10} {'anonymous':>10} {'over base':>10} {'resident':>9} {'helper':>7}"
)


def machine() -> str:
    import torch

    cores = len(os.sched_getaffinity(0))
    gpu = "GPU" if torch.cuda.is_available() else "no GPU"
    return f"{cores} cores, {gpu}, Python {platform.python_version()}, torch {torch.__version__}"


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--samples", default=SIZES, help="numbers of samples, separated by commas")
    parser.add_argument("--directory", type=Path, help="where data and caches are made")
    parser.add_argument("--processes", type=int, help="processes that tokenize (default: by cores and rows)")
    parser.add_argument("--json", type=Path, help="file for all figures")
    parser.add_argument("--keep", action="store_true", help="keep data and caches")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        found = measure(given.measure)
        print(json.dumps(found))
        return
    top = Path(tempfile.mkdtemp(prefix="mft-data-scale-", dir=given.directory))
    figures: Json = {"machine": machine(), "sizes": {}}
    try:
        base = scale(top / str(BASE), BASE, given.processes)
        figures["base"] = base
        print(figures["machine"])
        print(f"base: {base['cached']['anonymous_highest'] / MIB:.0f} MiB anonymous")
        print(HEADER, flush=True)
        for samples in map(int, given.samples.split(",")):
            found = scale(top / str(samples), samples, given.processes)
            figures["sizes"][samples] = found
            for kind in ("tokenized", "cached"):
                print(row_of(found, kind, base[kind]), flush=True)
            if not given.keep:
                shutil.rmtree(top / str(samples))
    finally:
        if not given.keep:
            shutil.rmtree(top, ignore_errors=True)
    text = json.dumps(figures, indent=1)
    if given.json:
        given.json.write_text(text, encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
