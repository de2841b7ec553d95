"""Trains every subset of the quickstart's tasks, for comparing what ``mft affinity --subsets`` predicts of them.

    python bench/affinity_subsets.py DIR

trains one model on all tasks, then one from it on each subset, with steps in proportion to the subset's samples.
"""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import combinations
from pathlib import Path

STEPS = {"text-to-code": 72, "code-comment": 30, "code-completion": 12, "code-repair": 7}
"""A task's steps, wherever it is trained."""
BASE_STEPS = 150


def main(directory: Path) -> None:
    """Write and run the specs."""
    directory.mkdir(parents=True, exist_ok=True)
    spec = json.loads((Path(__file__).parents[1] / "examples" / "quickstart.json").read_text())
    spec["model"]["tokenizer"] = {"train_bpe": 1024}
    del spec["training"]["epochs"]
    spec["training"] |= {"max_steps": BASE_STEPS, "evaluate_every": 25, "checkpoint_every": 50}
    run(spec, directory / "base")
    spec = json.loads((directory / "base" / "spec.json").read_text())  # with the base's tokenizer and seeds
    for subset in (each for size in range(1, len(STEPS) + 1) for each in combinations(STEPS, size)):
        own = json.loads(json.dumps(spec))
        own["tasks"] = [task for task in own["tasks"] if task["name"] in subset]
        own["training"] |= {
            "max_steps": sum(STEPS[name] for name in subset),
            "learning_rate": 1e-3,
            "min_learning_rate": 1e-4,
            "warmup": 0.1,
            "evaluate_every": 6 if len(subset) < 3 else 12,
            "checkpoint_every": 100,
        }
        run(own, directory / "subsets" / "+".join(subset), "--from", f"{directory / 'base'}@{BASE_STEPS}")


def run(spec: dict[str, object], output: Path, *arguments: str) -> None:
    """Train a spec."""
    spec |= {"name": output.name[:60], "output": str(output.resolve())}
    file = output.parent / f"{output.name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(spec, indent=2))
    subprocess.run(["mft", "run", str(file), *arguments], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
