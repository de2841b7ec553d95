"""The MFTCoder paper's experiment (arXiv 2311.02303, Tables 2 to 8) in small, by one command.

    python examples/paper/run.py --size cpu [--data DIR] [--output DIR] [--dry-run] [--set key=value]...

Pretrains a base (size cpu), trains every arm with every seed, measures an unseen task and what was forgotten, and
writes ``paper.md`` and ``paper.html`` to the output; after each seed, so that a run that was stopped has its page too.
Every arm's models also answer rows of each task, of an unseen one and, at the GPU sizes, HumanEval's problems.
The same command resumes where it was stopped. DIR is a folder of tasks in the paper's format; without it the tasks are
made from the source of the installed Python.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from measures import evaluation, with_measures
from page import write_page
from results import models
from sizes import HUB_ID, SIZES, Size
from tasks import UNSEEN, outside_sections, pretraining_sections, task_sections

import mftkit

BASE_MODEL = {
    "init": "random",
    "config": {
        "model_type": "llama",
        "hidden_size": 256,
        "intermediate_size": 688,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "tie_word_embeddings": True,
    },
    "tokenizer": {"train_bpe": 10240},
}


def base_spec(sections: list[dict[str, Any]], size: Size, output: Path) -> dict[str, Any]:
    """The spec that pretrains the base."""
    return {
        "name": "base",
        "output": str(output / "base"),
        "model": BASE_MODEL,
        "tasks": sections,
        "max_length": size.max_length,
        "data": {"overlong": "truncate"},
        "loss": "mixed",
        "training": {
            "max_steps": size.pretraining_steps,
            "batch_size": 4,
            "learning_rate": 3e-3,
            "min_learning_rate": 3e-4,
            "log_every": 25,
            "evaluate_every": size.pretraining_steps // 2,
            "checkpoint_every": 100,
            "keep_checkpoints": 1,
        },
    }


def arms_spec(
    model: dict[str, Any], sections: list[dict[str, Any]], unseen: list[dict[str, Any]], size: Size
) -> dict[str, Any]:
    """The spec that every arm changes."""
    return {
        "name": f"paper-{size.name}",
        "seed": 1,
        "model": model,
        "tuning": size.tuning,
        "tasks": with_measures(sections, size),
        "evaluation": evaluation(unseen, size),
        "max_length": size.max_length,
        "data": {"overlong": "drop"},
        "loss": size.losses[0],
        "training": size.training,
    }


def pretrained(sections: list[dict[str, Any]], size: Size, output: Path) -> dict[str, Any]:
    """The ``model`` of the arms: that of the size, or the base, which is trained unless it is there."""
    if size.model is not None:
        return size.model
    result = mftkit.run(base_spec(sections, size, output))
    if not result.is_complete:
        raise mftkit.MftError(f"the base was not finished: {result.reason}; run the same command again")
    return {"path": str(result.path / "model")}


def train(
    spec: dict[str, Any], size: Size, seeds: int, output: Path, changes: list[str]
) -> mftkit.CompareResult:
    """Train all arms with the first ``seeds`` seeds; those that are there are not trained again."""
    return mftkit.compare(
        spec,
        losses=size.losses,
        balancers=size.balancers,
        baselines=["single", "mixed"],
        merged=size.merged,
        soups=size.soups if seeds > 1 else (),  # of one seed there is nothing to average
        seeds=seeds,
        output=output / "arms",
        overrides=changes,
    )


def outside_losses(
    result: mftkit.CompareResult, base: str, sections: list[dict[str, Any]], output: Path
) -> None:
    """Write the losses of every model, and of the base, on what no arm trains to ``outside.json``."""
    file = output / "outside.json"
    known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    comparison = result.comparison
    directories = {
        name: result.path / directory
        for arm in comparison.arms
        for name, directory in models(arm.to_json(), len(comparison.seeds)).items()
    }
    for name, model in {"base": base, **directories}.items():
        if name not in known:
            spec = {
                "name": "outside",
                "output": str(output / "outside"),
                "model": {"path": base},
                "tasks": sections,
                "max_length": 512,
                "data": {"overlong": "drop"},
            }
            losses = mftkit.evaluate(model, spec, progress=False).losses
            known[name] = {task: loss.loss for task, loss in losses.items()}
            file.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", choices=sorted(SIZES), default="cpu")
    parser.add_argument("--data", type=Path, help="folder of tasks in the paper's format")
    parser.add_argument("--output", type=Path, help="default: runs/paper-SIZE")
    parser.add_argument("--dry-run", action="store_true", help="check the spec of the arms and print it")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change the arms' spec"
    )
    return parser.parse_args()


def main() -> None:
    """Do what the command line says."""
    given = options()
    size: Size = SIZES[given.size]
    output = (given.output or Path("runs") / f"paper-{size.name}").resolve()
    sections = task_sections(given.data, size, output)
    outside = outside_sections(output / "texts", size.valid)
    unseen = [task for task in outside if task["name"] == UNSEEN]
    if given.dry_run:
        spec = mftkit.load_spec(arms_spec(size.model or {"path": HUB_ID}, sections, unseen, size), given.set)
        print(spec.model_dump_json(indent=2))
        return
    texts = pretraining_sections(given.data, output / "texts") if size.model is None else []
    model = pretrained(texts, size, output)
    spec = arms_spec(model, sections, unseen, size)
    base = mftkit.load_spec(spec, given.set).model.path
    started = time.monotonic()
    for seeds in range(1, size.seeds + 1):
        result = train(spec, size, seeds, output, given.set)
        if not result.is_complete:
            raise SystemExit("stopped; the same command resumes")
        outside_losses(result, str(base), outside, output)
        write_page(output, size)
        print(f"seeds 1 to {seeds}: {time.monotonic() - started:.0f} s in this call; {output / 'paper.md'}")


if __name__ == "__main__":
    main()
