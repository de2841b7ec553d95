"""What a benchmark finds: figures beside their goal and the best peer's, as one table and as JSON.

A benchmark answers one question. It is a module with ``QUESTION``, and with ``measure(quick)``, which returns its
figures; ``quick`` takes tiny sizes, so that every path of it can be tried in seconds. It ends with

    if __name__ == "__main__":
        main(__spec__.name)

and runs as ``python -m bench.NAME [--quick] [--json FILE]``; ``python -m bench.report`` runs all of them.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import math
import os
import platform
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True)
class Figure:
    """One measured number. ``at_most`` and ``at_least`` are the goal, if it has one."""

    name: str
    value: float
    """NaN: not measured; ``note`` says why."""
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None
    peer: str = ""
    """The best peer's figure for the same work, and who that is: "1.36, TRL 1.16"."""
    note: str = ""
    """The conditions; of a goal that is missed, the reason and what was tried."""

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without a goal, or if it was not measured."""
        if (self.at_most is None and self.at_least is None) or math.isnan(self.value):
            return None
        return not (
            (self.at_most is not None and self.value > self.at_most)
            or (self.at_least is not None and self.value < self.at_least)
        )

    @property
    def goal(self) -> str:
        """The goal in words; "" without one."""
        parts = [("at most", self.at_most), ("at least", self.at_least)]
        return " and ".join(f"{word} {bound:g}" for word, bound in parts if bound is not None)

    def cells(self) -> tuple[str, str, str, str, str]:
        """Name, value with unit, goal with whether it is met, peer, note."""
        verdict = {None: "", True: ": met", False: ": MISSED"}[self.met]
        return (
            self.name,
            "-" if math.isnan(self.value) else f"{rounded(self.value)} {self.unit}".strip(),
            self.goal + verdict,
            self.peer,
            self.note,
        )


def rounded(value: float) -> str:
    """The number with four digits, or with all those before the point; never with an exponent like 3e+04."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


class Benchmark(Protocol):
    """A module of this folder."""

    QUESTION: str

    def measure(self, *, quick: bool) -> list[Figure]:
        """Measure."""


def load(name: str) -> Benchmark:
    """The benchmark ``bench.NAME``."""
    return cast("Benchmark", importlib.import_module(name))


def main(name: str) -> None:
    """The command line of one benchmark."""
    benchmark = load(name)
    parser = argparse.ArgumentParser(prog=f"python -m {name}", description=benchmark.QUESTION)
    parser.add_argument("--quick", action="store_true", help="tiny sizes: tries every path, measures nothing")
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write the figures to FILE")
    arguments = parser.parse_args()
    figures = benchmark.measure(quick=arguments.quick)
    show(benchmark.QUESTION, figures)
    if arguments.json:
        save(arguments.json, benchmark.QUESTION, figures)


def save(file: Path, question: str, figures: list[Figure]) -> None:
    """Write figures as JSON, which has no NaN: null stands for it."""
    rows = [{**asdict(each), "value": None if math.isnan(each.value) else each.value} for each in figures]
    content = {"question": question, "machine": machine(), "figures": rows}
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def show(question: str, figures: list[Figure]) -> None:
    """Print one table."""
    table = Table(
        "figure", "measured", "goal", "peer", "note", title=question, title_justify="left", box=box.SIMPLE
    )
    for figure in figures:
        table.add_row(*figure.cells())
    Console(width=160 if not os.isatty(1) else None).print(table)


def machine() -> str:
    """The machine in words."""
    lines = (
        Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if Path("/proc/cpuinfo").exists()
        else []
    )
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )
    return f"{model}, {len(os.sched_getaffinity(0))} cores"


def alternating(
    variants: Mapping[str, Callable[[], object]],
    repetitions: int,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, float]:
    """The median time of each variant in seconds, all of them once per round, after one round that is not counted.

    The clock is the CPU time of this process: with one thread, other programs on the machine do not enter it.
    """
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for round_number in range(repetitions + 1):
        for name, run in variants.items():
            gc.collect()
            start = clock()
            run()
            if round_number:
                seconds[name].append(clock() - start)
    return {name: statistics.median(found) for name, found in seconds.items()}


def peak_mib(work: Callable[[], object]) -> float:
    """The most resident memory that ``work`` takes above what the process has before it, in MiB (Linux).

    Call it in a process that has done the same at a tiny size, so that lazy imports are not counted.
    """
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets the peak
    before = _status_kib("VmRSS")
    work()
    return (_status_kib("VmHWM") - before) / 1024


def _status_kib(key: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(f"{key}:")).split()[1])
