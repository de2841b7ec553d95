"""How fast is a task's data tokenized with masks, and what does it take on disk and in memory?

A task of questions and answers, each row about 260 tokens of Python's standard library in BPE of 32k tokens, from JSON
Lines to the finished table that a run maps (``mftkit.data.corpus.prepare`` with an empty cache): reading, checking,
tokenizing, loss masks, digests, split and writing are all in it. Peers' figures are of ``datasets.map`` with a chat
template and masks. The rate of two cores is that of one process per CPU second, times two; the wall clock of two
processes, with their start, stands beside it. Memory is anonymous memory (RssAnon, read every 10 ms) at its highest
while the data is prepared, with many rows less that with few.
"""

from __future__ import annotations

import json
import resource
import statistics
import sysconfig
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.child import in_child
from bench.data_scale import MIB, Memory, size_of, status
from bench.figures import Figure, main

if TYPE_CHECKING:
    from collections.abc import Iterator

QUESTION = "How fast is a task's data tokenized with masks, and what does it take on disk and in memory?"
ABOUT = """
The tokenizer alone is most of it, and its rate is the machine's: on another one (Intel Xeon, used by other programs,
too) it gave 733,000 tokens/s, and the whole 529,000 with the code of that time, below the goal.
"""
LINES = 26
"""Lines of code per row, half of them the answer: about 260 tokens."""
FEW, SOME, MANY = 2_000, 10_000, 20_000
PEER = "434,000 wall, datasets.map"


def measure(*, quick: bool) -> list[Figure]:
    """Rates, bytes a token and the growth of memory."""
    few, some, many = (60, 90, 120) if quick else (FEW, SOME, MANY)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        in_child("bench.tokenising", "write_tokenizer", str(directory), 1000 if quick else 32_000)
        for rows in (few, some, many):
            write_rows(directory / f"{rows}.jsonl", rows)
        alone = [prepared(directory, many, 1) for _ in range(1 if quick else 3)]
        small, middle = prepared(directory, few, 1), prepared(directory, some, 1)
        shared = prepared(directory, many, 2)
        tokens, rate = alone[0]["tokens"], statistics.median(each["tokens"] / each["cpu"] for each in alone)
        bare = statistics.median(each["bare"] for each in alone)
    per_row = f"{many:,} rows, {tokens / many:.0f} tokens each"
    goals: dict[str, dict[str, float]] = {} if quick else {
        "rate": {"at_least": 1e6}, "disk": {"at_most": 4.1}, "memory": {"at_most": 10.0}
    }  # fmt: skip
    highest = statistics.median(each["anonymous"] for each in alone)
    return [
        Figure(
            "tokens with masks on two cores, by CPU seconds",
            2 * rate,
            "tokens/s",
            peer=PEER,
            note=f"{per_row}; {rate / bare:.0%} of the rate of the tokenizer alone",
            **goals.get("rate", {}),
        ),
        Figure(
            "the tokenizer alone on these texts, encode_batch_fast, by CPU seconds",
            2 * bare,
            "tokens/s",
            peer="1,103,000 wall",
            note="without reading, checks, masks and writing: the most that is possible on this machine now",
        ),
        Figure(
            "by the wall clock, two processes with their start",
            shared["tokens"] / shared["wall"],
            "tokens/s",
            peer=PEER,
            note="other programs run on this machine",
        ),
        Figure(
            "on disk",
            alone[0]["disk"] / tokens,
            "bytes/token",
            note=f"{per_row}; ids of at most 65,535",
            **goals.get("disk", {}),
        ),
        Figure(
            f"anonymous memory of {many:,} rows above that of {few:,}",
            (highest - small["anonymous"]) / MIB,
            "MiB",
            note="highest while they are prepared",
            **goals.get("memory", {}),
        ),
        Figure(
            f"anonymous memory of {many:,} rows above that of {some:,}",
            (highest - middle["anonymous"]) / MIB,
            "MiB",
        ),
    ]


def code() -> Iterator[list[str]]:
    """Runs of lines of the standard library; again and again, from other lines on, if it is too short."""
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.py"))
    for start in range(LINES):
        for file in files:
            if "site-packages" in file.parts:
                continue
            try:
                lines = file.read_text(encoding="utf-8").splitlines()
            except UnicodeDecodeError:
                continue
            lines = [line for line in lines if line.strip()]
            for first in range(start, len(lines) - LINES, LINES):
                yield lines[first : first + LINES]


def write_rows(file: Path, rows: int) -> None:
    """Write questions and answers as JSON Lines."""
    half = LINES // 2
    with file.open("w", encoding="utf-8") as output:
        for number, lines in enumerate(islice(code(), rows)):
            question = f"Continue ({number}):\n" + "\n".join(lines[:half])
            output.write(json.dumps({"prompt": question, "answer": "\n".join(lines[half:])}) + "\n")


def write_tokenizer(directory: str, size: int) -> None:
    """Train the tokenizer, in a process that ends."""
    from mftkit.data.tokens.train_tokenizer import train_bpe

    texts = ["\n".join(lines) for lines in islice(code(), size // 2)]
    train_bpe(texts, size).save_pretrained(Path(directory) / "tokenizer")


def prepared(directory: Path, rows: int, processes: int) -> dict[str, Any]:
    """Prepare the rows in a new process, with an empty cache; what it took."""
    with tempfile.TemporaryDirectory(dir=directory) as name:
        spec = {
            "name": "tokenising",
            "output": str(Path(name) / "run"),
            "model": {"init": "random", "config": CONFIG, "tokenizer": str(directory / "tokenizer")},
            "tuning": {"method": "full"},
            "tasks": [{"name": "code", "train": [str(directory / f"{rows}.jsonl")], "valid": 0.01, "format": "chat"}],
            "data": {"cache": str(Path(name) / "cache"), "processes": processes},
            "max_length": 4096,
        }  # fmt: skip
        file = Path(name) / "spec.json"
        file.write_text(json.dumps(spec), encoding="utf-8")
        found: dict[str, Any] = in_child("bench.tokenising", "prepare_here", str(file))
        return {**found, "disk": size_of(Path(name) / "cache")}


def prepare_here(file: str) -> dict[str, float]:
    """Prepare the data of a spec: seconds, CPU seconds of all processes, tokens and memory."""
    from transformers import AutoTokenizer

    import mftkit
    from mftkit.data.corpus import prepare
    from mftkit.reporting.reporter import Reporter

    spec = mftkit.load_spec(file)
    tokenizer = AutoTokenizer.from_pretrained(spec.model.tokenizer)
    with Memory() as memory:
        start, used = time.perf_counter(), cpu_seconds()
        corpus = prepare(spec, tokenizer, Reporter())
        cpu, wall = cpu_seconds() - used, time.perf_counter() - start
        memory.highest = max(memory.highest, status("RssAnon"))
        highest = memory.take()
    with Path(spec.tasks[0].train[0]).open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in islice(lines, FEW)]
    texts = [f"{row['prompt']}\n{row['answer']}" for row in rows]
    used = cpu_seconds()
    bare = sum(len(found.ids) for found in tokenizer.backend_tokenizer.encode_batch_fast(texts))
    bare_cpu = cpu_seconds() - used
    samples = (corpus.train, corpus.valid)
    tokens = sum(len(part[number].tokens) for part in samples for number in range(len(part)))
    return {"tokens": tokens, "cpu": cpu, "wall": wall, "anonymous": highest, "bare": bare / bare_cpu}


def cpu_seconds() -> float:
    """CPU time of this process and of those that it has waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


CONFIG = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
CONFIG |= {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 4096}

if __name__ == "__main__":
    main(__spec__.name)
