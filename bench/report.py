"""All benchmarks beside their goals and the best peers, as docs/performance.md.

    python -m bench.report                          every benchmark, one after another
    python -m bench.report --only end_to_end        these, and of all others what was measured before
    python -m bench.report --only                   none: writes the document again from docs/performance.json
    python -m bench.report --quick                  tiny sizes: tries every path, and writes nothing

A benchmark is a module of this folder with ``QUESTION`` and ``measure`` (see bench/figures.py). Each runs in a new
process with one thread; one that fails is a row that says so. What came out is kept in docs/performance.json, with the
machine, the date and the versions of each benchmark; the document is made from that alone.
"""

from __future__ import annotations

import argparse
import ast
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.figures import Figure, load, machine, show

Json = dict[str, Any]

FOLDER = Path(__file__).parent
DOCUMENT = FOLDER.parent / "docs" / "performance.md"
LIMIT = 1800
"""Seconds after which a benchmark is ended."""
PACKAGES = ("mftkit", "torch", "transformers", "trl")
_MEASURE = """
import sys
from pathlib import Path
from bench.figures import load, save
name, quick, file = sys.argv[1:]
benchmark = load(name)
save(Path(file), benchmark.QUESTION, benchmark.measure(quick=bool(quick)))
"""
"""A benchmark may have a command line with other options."""
INTRODUCTION = """\
# Performance

What mftkit's speed and memory are, each figure beside its goal and the best peer's figure for the same work. This page
is written by

```sh
python -m bench.report
```

from a source checkout, and its numbers are in [performance.json](performance.json). Each table has the command that
measures it alone. Times are CPU seconds of one thread unless a row says otherwise; ratios are taken in one run,
variants in turns, medians. Read ratios rather than seconds: such machines are shared, and differ.
"""


def benchmarks() -> list[str]:
    """Names of the modules of this folder that are benchmarks, in alphabetical order; none is imported."""
    return [path.stem for path in sorted(FOLDER.glob("*.py")) if "QUESTION" in constants(path.stem)]


def constants(name: str) -> dict[str, str]:
    """The texts that a module assigns to names in capital letters, read without importing it."""
    found: dict[str, str] = {}
    for node in ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            try:
                value = ast.literal_eval(node.value)
            except ValueError:
                continue
            if isinstance(value, str):
                found |= {
                    each.id: value for each in targets if isinstance(each, ast.Name) and each.id.isupper()
                }
    return found


def run(name: str, *, quick: bool) -> Json:
    """What a benchmark finds, or why it failed, with all that belongs to it in the document."""
    facts: Json = {"question": constants(name)["QUESTION"], "about": constants(name).get("ABOUT", "")}
    facts |= {"machine": machine(), "date": datetime.now(UTC).date().isoformat(), "versions": versions()}
    with tempfile.TemporaryDirectory() as directory:
        result = Path(directory) / "figures.json"
        command = [sys.executable, "-c", _MEASURE, f"bench.{name}", "quick" if quick else "", str(result)]
        # Its process group ends with it: processes that it has started must not disturb the next benchmark.
        child = subprocess.Popen(
            command,
            cwd=FOLDER.parent,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            _, errors = child.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, 9)
            child.communicate()
            return {**facts, "error": f"not ended after {LIMIT} s"}
        if child.returncode or not result.exists():
            last = (errors.strip().splitlines() or ["no message"])[-1]
            return {**facts, "error": f"exit code {child.returncode}: {last}"}
        return {**facts, "figures": json.loads(result.read_text(encoding="utf-8"))["figures"]}


def versions() -> str:
    """Versions of Python and of the packages that matter, as far as they are installed."""
    found = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def figures_of(result: Json) -> list[Figure]:
    """The rows of a result; of a benchmark that failed, the one that says so."""
    if "error" in result:
        return [Figure("the benchmark failed", float("nan"), note=result["error"])]
    return [
        Figure(**{**each, "value": float("nan") if each["value"] is None else each["value"]})
        for each in result["figures"]
    ]


def document(results: dict[str, Json]) -> str:
    """The page: how many goals are met, which are missed, and a table for each benchmark."""
    every = [(name, figure) for name, result in sorted(results.items()) for figure in figures_of(result)]
    goals = [(name, figure) for name, figure in every if figure.met is not None]
    missed = [(name, figure) for name, figure in goals if not figure.met]
    failed = [name for name, result in sorted(results.items()) if "error" in result]
    open_goals = [(name, figure) for name, figure in every if figure.goal and figure.met is None]
    count = f"{len(goals) - len(missed)} of {len(goals)} goals that were measured are met.\n"
    parts = [INTRODUCTION, count]
    if missed:
        lines = [
            f"- {_plain(figure.name)} ({_link(name, results)}): {figure.cells()[1]}, goal {figure.goal}"
            + (f"; {_plain(figure.note)}" if figure.note else "")
            for name, figure in missed
        ]
        parts.append("Missed:\n\n" + "\n".join(lines) + "\n")
    if open_goals:
        where = ", ".join(_link(name, results) for name in sorted({name for name, _ in open_goals}))
        parts.append(f"Goals that were not measured: {len(open_goals)} ({where}).\n")
    if failed:
        parts.append("Failed: " + ", ".join(_link(name, results) for name in failed) + ".\n")
    parts += [section(name, result) for name, result in sorted(results.items())]
    return "\n".join(parts)


def section(name: str, result: Json) -> str:
    """The part of one benchmark."""
    header = ("figure", "measured", "goal", "peer", "note")
    rows = [figure.cells() for figure in figures_of(result)]
    # Columns that no row fills are left out.
    kept = [i for i in range(len(header)) if i < 2 or any(row[i] for row in rows)]
    table = [header, tuple("---" for _ in header), *rows]
    lines = ["| " + " | ".join(_plain(row[i]) for i in kept) + " |" for row in table]
    about = f"\n{result['about'].strip()}\n" if result["about"].strip() else ""
    return (
        f"## {title(name)}\n\n{result['question']}\n\n`python -m bench.{name}`, {result['date']}, {result['machine']}, "
        f"{result['versions']}:\n\n" + "\n".join(lines) + f"\n{about}"
    )


def title(name: str) -> str:
    """The heading of a benchmark's part."""
    return name.replace("_", " ").capitalize()


def _link(name: str, results: dict[str, Json]) -> str:
    assert name in results
    return f"[{title(name)}](#{title(name).lower().replace(' ', '-')})"


def _plain(text: str) -> str:
    """A text for a cell of a table."""
    return " ".join(text.replace("|", "\\|").split())


def write(output: Path, results: dict[str, Json]) -> None:
    """Write the document, and the plots of the benchmarks that draw some, from their figures."""
    output.write_text(document(results), encoding="utf-8")
    for name, result in results.items():
        drawing = (
            getattr(load(f"bench.{name}"), "draw", None) if _draws(name) and "figures" in result else None
        )
        for file, content in drawing(figures_of(result)).items() if drawing else ():
            (output.parent / "images").mkdir(exist_ok=True)
            (output.parent / "images" / file).write_text(content, encoding="utf-8")


def _draws(name: str) -> bool:
    return "\ndef draw(" in (FOLDER / f"{name}.py").read_text(encoding="utf-8")


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.report", description=str(__doc__).partition("\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes: tries every path, writes nothing")
    parser.add_argument(
        "--only", nargs="*", metavar="NAME", help="run these alone (none: write the document again)"
    )
    parser.add_argument(
        "--output", type=Path, default=DOCUMENT, help="the document; its numbers are kept beside it"
    )
    arguments = parser.parse_args()
    names = benchmarks() if arguments.only is None else arguments.only
    if unknown := set(names) - set(benchmarks()):
        parser.error(f"no benchmark: {', '.join(sorted(unknown))}; there are {', '.join(benchmarks())}")
    kept = arguments.output.with_suffix(".json")
    known: dict[str, Json] = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    results = {name: result for name, result in known.items() if name in benchmarks()}
    for name in names:
        results[name] = run(name, quick=arguments.quick)
        show(f"{name}: {results[name]['question']}", figures_of(results[name]))
        if not arguments.quick:  # after each, so that little is lost if this is interrupted
            kept.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")
            write(arguments.output, results)
    if not names:
        write(arguments.output, results)
    if any("error" in results[name] for name in names):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
