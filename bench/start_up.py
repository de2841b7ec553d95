"""What does it cost to start the program?

CPU seconds, user and system, of new processes, the median of several, in turns: ``mft --help`` and ``mft plugins list``
with 30 plugins of others installed, each a package with one loss; and ``mft run`` of the quickstart up to its first
step, with its data cached. ``python -c pass`` and "libraries of any step" (torch, transformers' base class of
models, and the first optimizer, with which torch imports its compiler) are what these cannot do without; "imports of
typer for options" is what ``mft plugins list`` does without, and other commands do not. Bytecode is on disk, as an
installer leaves it.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.figures import Figure, main

QUESTION = "What does it cost to start the program?"
QUICKSTART = Path(__file__).parent.parent / "examples" / "quickstart.json"
PLUGINS = 30
PLUGIN = """
import mftkit

@mftkit.hookimpl
def register_losses(register):
    register("loss-{number}", "plug_{number}:Loss", summary="a loss")
"""
OPTIONS = """
import typer
command = typer.Typer()
@command.command()
def one(name: str = ""): pass
command()
"""
TORCH = "import os, torch; os._exit(0)"  # without taking it down, which is no part of a start
LIBRARIES = """
import os, torch
from transformers import PreTrainedModel
torch.optim.AdamW([torch.zeros(1, requires_grad=True)])
os._exit(0)
"""
ABOUT = """
The goal to halve the time to the first step was missed: it is longer than the first version's, which checked less
before a run. Half is out of reach: the libraries that any step imports take nearly two thirds of it (torch, the
compiler that torch's optimizers import, and transformers with what its models import), more than half of the first
version's time. What was done: no pass of the garbage collector while they are imported, which saves an eighth of that,
and no import of peft, bitsandbytes, datasets or plotly. The validation before the first step takes a sixth of it.
"""
FIRST_VERSION = 3.87 / 2.69
"""CPU seconds of the first version of mftkit up to the first step, over those of the libraries of any step, on one
machine in turns: 1.44 x."""
FIRST_STEP = """
import os
from mftkit.cli import main
from mftkit.training import loop
loop.Trainer._train_on = lambda trainer, number: os._exit(0)
raise SystemExit(main(["run", {spec!r}, "--fresh"]) or 9)
"""


def measure(*, quick: bool) -> list[Figure]:
    """CPU seconds of each start."""
    repetitions = 1 if quick else 5
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        environment |= {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(directory / "bytecode")}
        site = install_plugins(directory / "site")
        path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
        spec = quickstart(directory)
        mft = [sys.executable, "-m", "mftkit.cli"]
        commands: dict[str, tuple[list[str], dict[str, str]]] = {
            "python -c pass": ([sys.executable, "-c", "pass"], environment),
            "imports of typer for options": ([sys.executable, "-c", OPTIONS], environment),
            "mft --help": ([*mft, "--help"], {**environment, "PYTHONPATH": path}),
            "mft plugins list": ([*mft, "plugins", "list"], {**environment, "PYTHONPATH": path}),
        }
        if not quick:
            first = [sys.executable, "-c", FIRST_STEP.format(spec=str(spec))]
            commands["import torch"] = ([sys.executable, "-c", TORCH], environment)
            commands["libraries of any step"] = ([sys.executable, "-c", LIBRARIES], environment)
            commands["mft run to the first step"] = (first, environment)
        expected = {"mft plugins list": "loss-29"}
        for name, (command, variables) in commands.items():  # writes bytecode, and makes the data
            cpu_seconds(command, variables, expected.get(name, ""))
        found: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(repetitions):
            for name, (command, variables) in commands.items():
                found[name].append(cpu_seconds(command, variables))
    goals = {"mft --help": 0.2, "mft plugins list": 0.2}
    took = {name: statistics.median(seconds) for name, seconds in found.items()}
    figures = [
        Figure(name, seconds, "s CPU", at_most=None if quick else goals.get(name))
        for name, seconds in took.items()
    ]
    if not quick:
        ratio = took["mft run to the first step"] / took["libraries of any step"]
        about = f"half of the first version's {FIRST_VERSION:.2f} x; the libraries alone are 1 x"
        figures.append(
            Figure(
                "to the first step / libraries", ratio, "x", at_most=round(FIRST_VERSION / 2, 2), note=about
            )
        )
    return figures


def cpu_seconds(command: list[str], environment: dict[str, str], expected: str = "") -> float:
    """The CPU time of a process, which must end well and print ``expected``."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode or expected not in done.stdout:
        raise RuntimeError(f"{command} ended with {done.returncode}: {done.stderr[-2000:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def install_plugins(site: Path) -> Path:
    """Install plugins as an installer does: modules, and the metadata of their distributions."""
    for number in range(PLUGINS):
        metadata = site / f"plug_{number}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (site / f"plug_{number}.py").write_text(PLUGIN.format(number=number), encoding="utf-8")
        about = f"Metadata-Version: 2.1\nName: plug-{number}\nVersion: 1.0\n"
        (metadata / "METADATA").write_text(about, encoding="utf-8")
        (metadata / "entry_points.txt").write_text(f"[mft]\np{number} = plug_{number}\n", encoding="utf-8")
    return site


def quickstart(directory: Path) -> Path:
    """The quickstart's spec with its output and its cache in ``directory``."""
    spec: dict[str, Any] = json.loads(QUICKSTART.read_text(encoding="utf-8"))
    spec |= {"output": str(directory / "run"), "data": {"cache": str(directory / "cache")}}
    file = directory / "spec.json"
    file.write_text(json.dumps(spec), encoding="utf-8")
    return file


if __name__ == "__main__":
    main(__spec__.name)
