"""The six real tasks, in short form: each tuning, packed and padded, in one process and in two."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from commands import mft
from forked import run_forked
from small_runs import metrics

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("MFT_SHARED", ROOT.parent / "shared"))
ROWS = {"train": 240, "valid": 60}
"""Rows of each file: enough for the few steps here."""
TUNINGS = {
    "full": {"method": "full"},
    "lora": {"method": "lora", "rank": 8},
    "qlora": {"method": "qlora", "rank": 8},
}

pytestmark = [
    pytest.mark.skipif(
        not (SHARED / "data").is_dir(), reason="the six tasks' data lies beside the project only"
    ),
    pytest.mark.long,
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the spec, and a cache that all its runs share."""
    directory = tmp_path_factory.mktemp("six")
    spec = json.loads((ROOT / "examples" / "six-tasks.json").read_text())
    for task in spec["tasks"]:
        for part in ("train", "valid"):
            lines = (
                (SHARED / "data" / task["name"] / f"{part}.jsonl")
                .read_text("utf-8")
                .splitlines(keepends=True)
            )
            short = directory / f"{task['name']}-{part}.jsonl"
            short.write_text("".join(lines[: ROWS[part]]), "utf-8")
            task[part] = [str(short)]
    spec["model"]["config"].update(hidden_size=64, intermediate_size=128, num_hidden_layers=2)
    spec |= {"max_length": 256, "data": {"cache": "cache"}}
    spec["training"] |= {
        "max_steps": 3,
        "log_every": 1,
        "evaluate_every": 50,
        "checkpoint_every": 50,
        "batch_size": 16,
    }
    (directory / "spec.json").write_text(json.dumps(spec))
    return directory


@pytest.mark.parametrize(
    ("tuning", "mode", "processes"),
    [
        ("full", "padding", 2),
        ("lora", "pack", 1),
        ("lora", "padding", 2),
        ("qlora", "pack", 2),
        ("qlora", "padding", 1),
    ],
)
def test_it_trains(place: Path, tuning: Any, mode: str, processes: Any) -> None:
    changes = {"tuning": TUNINGS[tuning], "tokenization": mode, "output": f"{tuning}-{mode}-{processes}"}
    sets = [part for key, value in changes.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    if processes == 1:
        done = mft("run", "spec.json", *sets, cwd=place)
        assert done.returncode == 0, done.stderr
    else:
        run_forked(
            f'import mftkit\nmftkit.run(mftkit.load_spec("spec.json", {sets[1::2]}))', (processes,), place
        )
    lines = metrics(place / str(changes["output"]))
    assert len(lines[0]["tasks"]) == 6
    assert lines[-2]["loss"] < lines[0]["loss"]
    assert lines[-1]["reason"] == "finished"
    environment = json.loads((place / str(changes["output"]) / "environment.json").read_text())
    assert environment["processes"] == processes
