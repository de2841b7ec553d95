"""What a training step costs as each size grows: tasks, samples, context, micro-batches, processes.

Models are tiny (hidden 64, 2 layers, a vocabulary of 1,000; one layer of hidden 32 for the context), so that what
grows beside the model's own arithmetic is seen. Steps are made by the run's own parts, one of each size in turns, in
one process with one thread; medians of CPU seconds.

    tasks          the same 4,096 samples, divided into 1 to 512 tasks; 16 packed rows of 256 tokens
    samples        generated token tables of 64 tokens per sample; also the layout of an epoch, and reading a batch
    context        32,768 tokens per step in rows of each length, one row per forward pass: one sample per row, and
                   rows packed with samples of 512 tokens, isolated
    micro-batches  a step of 32 rows of 128 tokens in 1 to 32 forward passes
    processes      ``bench/engines.py``: 8 rows of 128 tokens with gloo, CPU seconds of all processes together
"""

from __future__ import annotations

import json
import math
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.child import in_child
from bench.end_to_end import OurTrainer, build
from bench.figures import Figure, main

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from mftkit.data.corpus import Samples
    from mftkit.training.run_parts import CheckedRun

QUESTION = "How does the cost of a step grow with each size?"
ABOUT = """
![CPU seconds of a step by tasks, samples, context, micro-batches and processes](images/growth.svg)

An exponent is the slope between the smallest and the largest size in the plot, where both axes are logarithmic: 0 is
flat, 1 is linear.

- **Tasks**: sums by task are tensors of one row per task, so a step with more tasks makes the same calls.
- **Samples**: a step reads its own rows through a memory map, whatever the size of the table. The layout of an epoch is
  made once, and is linear.
- **Context**: with the same number of tokens in a step, all but attention costs the same. Attention is quadratic in a
  sample's length, so its part per token is linear in the context. Packed samples cost the same in rows of any length,
  because each is computed by itself ("varlen"); with a mask of the whole row they cost more, the longer it is
  ([Attention](#attention)).
- **Micro-batches**: linear with a small slope. Each pass has a fixed cost, most of which are the calls of the model's
  layers in transformers and torch, and its matrix products are smaller. It is large beside a model as tiny as this one.
- **Processes**: each process updates all weights with `ddp`, and sends gradients; the passes over rows are divided.
  Waiting for a message counts where a process spins.
"""
PANELS = ("tasks", "samples", "context", "micro-batches", "processes")
SIZES = {
    "tasks": (1, 8, 64, 512),
    "samples": (10_000, 100_000, 1_600_000),
    "context": (512, 2048, 8192, 32_768),
    "micro-batches": (1, 2, 4, 8, 16, 32),
    "processes": (1, 2, 4),
}
QUICK = {
    "tasks": (1, 3),
    "samples": (100, 300),
    "context": (64, 128),
    "micro-batches": (1, 2),
    "processes": (1, 2),
}
EXPONENTS = {
    ("tasks", "step"): 0.1,
    ("samples", "step"): 0.1,
    ("samples", "batch"): 0.1,
    ("samples", "layout"): 1.1,
    ("context", "one sample per row"): 1.1,
    ("context", "packed"): 0.1,
    ("micro-batches", "step"): 1.1,
    ("processes", "step, all processes"): 1.1,
}
"""Most that the exponent of growth may be: 0.1 for flat, 1.1 for linear."""
COLORS = ("#4e79a7", "#e15759", "#59a14f")


def measure(*, quick: bool) -> list[Figure]:
    figures: list[Figure] = []
    for panel in PANELS:
        with tempfile.TemporaryDirectory(prefix="mft-growth-") as directory:
            sizes = (QUICK if quick else SIZES)[panel]
            found = in_child("bench.growth", panel.replace("-", "_"), directory, list(sizes), quick)
        figures += _figures(panel, found)
    return figures


def _figures(panel: str, found: dict[str, list[tuple[int, float]]]) -> list[Figure]:
    figures = [
        Figure(f"{panel}: {series}, {size:,}", 1000 * seconds, "ms")
        for series, points in found.items()
        for size, seconds in points
    ]
    figures += [_exponent(panel, series, points) for series, points in found.items()]
    if panel == "micro-batches":
        (first, low), (last, high) = found["step"][0], found["step"][-1]
        figures.append(
            Figure("micro-batches: each further pass, mean", 1000 * (high - low) / (last - first), "ms")
        )
    return figures


def _exponent(panel: str, series: str, points: list[tuple[int, float]]) -> Figure:
    (first, low), (last, high) = points[0], points[-1]
    value = math.log(high / low) / math.log(last / first)
    return Figure(
        f"{panel}: {series}, exponent",
        value,
        at_most=EXPONENTS[panel, series],
        note=f"{high / low:.2f} times the cost at {last / first:g} times the size",
    )


def tasks(directory: str, sizes: list[int], quick: bool) -> dict[str, list[tuple[int, float]]]:
    texts = _texts(60 if quick else 4096)
    trainers = {}
    for count in sizes:
        place = Path(directory) / str(count)
        place.mkdir()
        spec = write_spec(place, [texts[i::count] for i in range(count)], length=256, rows=16)
        trainers[count] = OurTrainer(build(str(spec)))
    return {"step": _in_turns({size: each.step for size, each in trainers.items()}, 1 if quick else 25)}


def samples(directory: str, sizes: list[int], quick: bool) -> dict[str, list[tuple[int, float]]]:
    checked = _checked(Path(directory), length=512, rows=8)
    layouts, trainers = [], {}
    for size in sizes:
        made = generated(Path(directory) / f"table-{size}", _lengths(size), vocabulary=1000)
        start = time.process_time()
        over = _over(checked, made)
        layouts.append((size, time.process_time() - start))
        trainers[size] = OurTrainer(_run(over))
    steps = _in_turns({size: each.step for size, each in trainers.items()}, 1 if quick else 25)
    readers = {size: _reader(each) for size, each in trainers.items()}
    return {"step": steps, "batch": _in_turns(readers, 1 if quick else 200), "layout": layouts}


def context(directory: str, sizes: list[int], quick: bool) -> dict[str, list[tuple[int, float]]]:
    config = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1}
    curves: dict[str, dict[int, OurTrainer]] = {"one sample per row": {}, "packed": {}}
    for size in sizes:
        rows, place = max(sizes) // size, Path(directory) / str(size)
        place.mkdir()
        checked = _checked(place, length=size, rows=rows, micro=1, **config)
        for curve, trainers in curves.items():
            length = size if curve == "one sample per row" else min(sizes)
            made = generated(place / curve, [length] * (2 * max(sizes) // length), vocabulary=1000)
            trainers[size] = OurTrainer(_run(_over(checked, made)))
    rounds = 1 if quick else 2
    return {
        name: _in_turns({size: t.step for size, t in each.items()}, rounds) for name, each in curves.items()
    }


def micro_batches(directory: str, sizes: list[int], quick: bool) -> dict[str, list[tuple[int, float]]]:
    texts, trainers, rows = _texts(60 if quick else 2048), {}, max(sizes)
    for count in sizes:
        place = Path(directory) / str(count)
        place.mkdir()
        spec = write_spec(place, [texts[::2], texts[1::2]], length=128, rows=rows, micro=rows // count)
        trainers[count] = OurTrainer(build(str(spec)))
    return {"step": _in_turns({size: each.step for size, each in trainers.items()}, 1 if quick else 15)}


def processes(_directory: str, sizes: list[int], quick: bool) -> dict[str, list[tuple[int, float]]]:
    from bench import engines

    steps, found = 1 if quick else 8, []
    for count in sizes:
        line = engines.measured("single" if count == 1 else "ddp", {}, "full", steps, count)
        found.append((count, line["cpu"]))
    return {"step, all processes": found}


def _in_turns(works: dict[int, Callable[[], object]], rounds: int) -> list[tuple[int, float]]:
    """The median CPU seconds of each work, after one that is not counted; another one begins each round."""
    seconds: dict[int, list[float]] = {size: [] for size in works}
    sizes = list(works)
    for turn in range(rounds + 1):
        for size in sizes[turn % len(sizes) :] + sizes[: turn % len(sizes)]:
            start = time.process_time()
            works[size]()
            if turn:
                seconds[size].append(time.process_time() - start)
    return [(size, statistics.median(each)) for size, each in seconds.items()]


def _reader(trainer: OurTrainer) -> Callable[[], object]:
    """Reads, lays out and collates the batches of the steps that follow."""
    run = trainer.run
    number = [trainer.number]

    def read() -> object:
        number[0] += 1
        batch = run.checked.sampler[number[0]]
        rows = batch.micro_batches(run.batcher.micro_batch_size, 0, 1)
        return [run.batcher.batch(run.checked.corpus.train, each, run.checked.mode.collate) for each in rows]

    return read


def write_spec(
    directory: Path, texts: list[list[str]], *, length: int, rows: int, micro: int = 0, **config: Any
) -> Path:
    """The spec of a run over these texts of each task."""
    listed = []
    for number, lines in enumerate(texts):
        file = directory / f"{number}.jsonl"
        file.write_text("".join(json.dumps({"text": text}) + "\n" for text in lines), encoding="utf-8")
        listed.append({"name": f"task-{number}", "train": [str(file)], "format": "text"})
    shape = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
    shape |= {"num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": max(512, length)}
    spec = {
        "name": "growth",
        "output": str(directory / "run"),
        "model": {
            "init": "random",
            "config": shape | config,
            "tokenizer": {"train_bpe": 1000},
            "dtype": "float32",
        },
        "tuning": {"method": "full"},
        "tasks": listed,
        "data": {"cache": str(directory / "cache"), "processes": 1},
        "tokenization": {"name": "pack", "options": {"attention": "isolated", "scope": "mixed"}},
        "max_length": length,
        "training": {"max_steps": 1000, "batch_size": rows, "micro_batch_size": micro or rows},
    }
    path = directory / "spec.json"
    path.write_text(json.dumps(spec), encoding="utf-8")
    return path


def _texts(count: int) -> list[str]:
    """Texts of about 60 tokens, all different."""
    import numpy as np

    random = np.random.default_rng(0)
    words = ["".join(letters) for letters in random.choice(list("abcdefghijklmnopqrst"), (300, 4))]
    return [" ".join(words[i] for i in row) for row in random.integers(len(words), size=(count, 30))]


def _checked(directory: Path, **sizes: Any) -> CheckedRun:
    """A checked run of two tasks over a few texts, whose samples are exchanged afterwards."""
    import mftkit
    from mftkit.reporting.reporter import Reporter
    from mftkit.training.setup import check_run

    texts = _texts(200)
    return check_run(
        mftkit.load_spec(str(write_spec(directory, [texts[::2], texts[1::2]], **sizes))), Reporter()
    )


def _over(checked: CheckedRun, made: Samples) -> CheckedRun:
    """The run over other samples; the first epoch is laid out."""
    from mftkit.training.setup import make_sampler

    corpus = replace(checked.corpus, train=made)
    return replace(checked, corpus=corpus, sampler=make_sampler(checked.spec, corpus, checked.mode))


def _run(checked: CheckedRun) -> Any:
    from mftkit.training.setup import build_run

    run = build_run(checked)
    run.logprob_model.train()
    return run


def _lengths(count: int) -> list[int]:
    import numpy as np

    drawn = np.random.default_rng(1).lognormal(3.9, 0.7, count)
    return np.clip(drawn, 8, 512).astype(int).tolist()


def generated(directory: Path, lengths: list[int], vocabulary: int) -> Samples:
    """Samples of random tokens in a table on the disk, every second one of the second task."""
    import numpy as np

    from mftkit.data.samples import Part, Samples
    from mftkit.data.text.encoder import Encoded
    from mftkit.data.tokens.table import RowColumns, TableWriter, TokenTable

    directory.mkdir()
    random = np.random.default_rng(2)
    writer = TableWriter(directory)
    for start in range(0, len(lengths), 20_000):
        sizes = np.array(lengths[start : start + 20_000], np.int32)
        tokens = random.integers(3, vocabulary, size=int(sizes.sum()), dtype=np.int32)
        spans = np.stack([np.ones_like(sizes), sizes], axis=1).reshape(-1)
        lines = np.arange(start, start + len(sizes))
        columns = RowColumns(
            lines.astype(np.uint64), lines.astype(np.uint64), np.zeros_like(sizes), lines, np.ones(len(sizes))
        )
        writer.append(Encoded(tokens, sizes, spans, np.ones_like(sizes)), columns)
    writer.close({})
    table = TokenTable(directory)
    rows: np.ndarray[Any, Any] = np.arange(len(lengths))
    parts = [Part(task, table, rows[task::2], ("generated",)) for task in (0, 1)]
    return Samples(parts, max(lengths))


def draw(figures: list[Figure]) -> dict[str, str]:
    """The plot of the document, by its file's name: seconds of a step by size, one panel for each kind of size."""
    curves: dict[str, dict[str, list[tuple[int, float]]]] = {panel: {} for panel in PANELS}
    for figure in figures:
        panel, _, rest = figure.name.partition(": ")
        series, _, size = rest.rpartition(", ")
        if panel in curves and size.replace(",", "").isdigit():
            curves[panel].setdefault(series, []).append((int(size.replace(",", "")), figure.value / 1000))
    width, height = 210, 190
    columns = 3
    full = (columns * (width + 60) + 20, 2 * (height + 70) + 10)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {full[0]} {full[1]}" font-family="sans-serif" '
        'font-size="11" fill="#808080" role="img" aria-label="CPU seconds of a step by each size">'
    ]
    for index, (panel, lines) in enumerate(curves.items()):
        x, y = 50 + index % columns * (width + 60), 30 + index // columns * (height + 70)
        parts.append(f'<g transform="translate({x},{y})">{_panel(panel, lines, width, height)}</g>')
    return {"growth.svg": "\n".join([*parts, "</svg>"]) + "\n"}


def _panel(title: str, lines: dict[str, list[tuple[int, float]]], width: int, height: int) -> str:
    """Curves on logarithmic axes; the seconds' axis has at least two powers of ten, so that flat looks flat."""
    sizes = sorted({size for points in lines.values() for size, _ in points})
    seconds = [value for points in lines.values() for _, value in points]
    if not seconds:
        return ""
    low, high = math.floor(math.log10(min(seconds))), math.ceil(math.log10(max(seconds)))
    high = max(high, low + 2)
    left, right = math.log(sizes[0]), math.log(sizes[-1])

    def place(size: int, value: float) -> str:
        x = (math.log(size) - left) / ((right - left) or 1) * width
        return f"{x:.1f} {height - (math.log10(value) - low) / (high - low) * height:.1f}"

    parts = [f'<text x="0" y="-10" font-weight="bold">{title}</text>']
    for power in range(low, high + 1):
        at = place(sizes[0], 10.0**power).split()[1]
        parts.append(f'<path d="M0 {at}H{width}" stroke="#80808040"/>')
        parts.append(f'<text x="-5" y="{at}" dy="4" text-anchor="end">{10.0**power:g} s</text>')
    for size in sizes:
        x = place(size, 10.0**low).split()[0]
        parts.append(f'<text x="{x}" y="{height + 14}" text-anchor="middle">{_short(size)}</text>')
    for number, (series, points) in enumerate(lines.items()):
        color, path = COLORS[number], " L".join(place(*point) for point in points)
        parts.append(f'<path d="M{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        for point in points:
            x, y = place(*point).split()
            parts.append(f'<circle cx="{x}" cy="{y}" r="3" fill="{color}"/>')
        after = sum(14 + 5.5 * len(each) for each in list(lines)[:number])  # in letters of about 5.5 pixels
        parts.append(f'<text x="{after:g}" y="{height + 30}" fill="{color}">{series}</text>')
    return "".join(parts)


def _short(size: int) -> str:
    """A size in a few letters: 1.6M, 10k, 512."""
    for factor, letter in ((10**6, "M"), (10**3, "k")):
        if size >= 10 * factor or (size >= factor and letter == "M"):
            return f"{size / factor:.3g}{letter}"
    return str(size)


if __name__ == "__main__":
    main(__spec__.name)
