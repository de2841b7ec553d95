"""Checkpoints of a model that is sharded over real processes: written by each, read by any number of them."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import mftkit
from forked import mft_forked
from small_runs import metrics, rows, small_spec, write_rows

pytestmark = [pytest.mark.engines, pytest.mark.long]

# The second process is killed after it has written its shards of step 6, while the main one still writes; or before it
# trains on step 6, for an adapter, whose checkpoints have no shards.
KILLS = """
import os, signal, time
import mftkit
from mftkit.runs import shard_writing
from mftkit.training.train_step import TrainStep

own = shard_writing.StagedShards.write

def write(self, checkpoint):
    if "00000006" in str(checkpoint):
        if os.environ["RANK"] == "0":
            time.sleep(60)
        own(self, checkpoint)
        os.kill(os.getpid(), signal.SIGKILL)
    return own(self, checkpoint)

own_step = TrainStep.__call__

def step(self, batch, *rest):
    if batch.number == 6 and os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    return own_step(self, batch, *rest)

if os.environ.get("KILLS"):  # the plugin is loaded by the resumed run, too, which compares it
    shard_writing.StagedShards.write = write
    if os.environ["KILLS"] == "step":
        TrainStep.__call__ = step

@mftkit.hookimpl
def on_run_start(run, step):
    pass
"""


def spec(output: str, **changes: Any) -> Any:
    made = small_spec(
        output=output,
        tuning=changes.pop("tuning", "full"),
        training={"max_steps": 8, "log_every": 1, "evaluate_every": 4, "checkpoint_every": 3, "micro_batch_size": 4},
        **changes,
    )  # fmt: skip
    made["model"]["config"]["attention_dropout"] = 0.0
    return made


def run(project: Path, output: str, processes: int, *, kills: str = "", **changes: Any) -> Any:
    engine = "fsdp2" if processes > 1 else "auto"
    file = f"{output}-{processes}.json"
    (project / file).write_text(
        json.dumps(spec(output, engine=engine, plugins=["kills.py"] if kills else [], **changes))
    )
    several = ["--processes", str(processes)] if processes > 1 else []
    return mft_forked("run", file, *several, cwd=project, KILLS=kills)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never killed, ``whole``, and one whose second process was, ``killed``."""
    place = tmp_path_factory.mktemp("sharded")
    for task in ("big", "small"):
        write_rows(place / "data" / f"{task}.jsonl", rows(task, 100))
    done = run(place, "whole", 2)
    assert done.returncode == 0, done.stderr
    (place / "kills.py").write_text(KILLS)
    assert run(place, "killed", 2, kills="writing").returncode != 0
    return place


def copied(project: Path, name: str) -> Path:
    run_directory = project / name
    shutil.copytree(project / "killed", run_directory)
    text = (run_directory / "spec.json").read_text()
    (run_directory / "spec.json").write_text(text.replace(str(project / "killed"), str(run_directory)))
    return run_directory


def losses(run_directory: Path) -> list[float]:
    lines = metrics(run_directory)
    return [
        task["loss"] for line in lines for task in line.get("tasks", {}).values() if line["event"] != "end"
    ]


def test_a_kill_in_the_middle_of_writing_leaves_the_one_before(project: Path) -> None:
    checkpoints = project / "killed" / "checkpoints"
    steps = sorted(entry.name for entry in checkpoints.iterdir() if not entry.name.startswith("."))
    assert steps[-1] < "step-00000006"
    files = json.loads((checkpoints / steps[-1] / "manifest.json").read_text())["files"]
    assert {"state.pt", "shards/__0_0.distcp", "shards/__1_0.distcp"} <= files.keys()
    assert "model.safetensors" not in files


@pytest.mark.parametrize("processes", [4, 1])
def test_another_number_of_processes_gives_the_same_losses(project: Path, processes: int) -> None:
    name = f"on-{processes}"
    copied(project, name)
    done = run(project, name, processes)
    assert done.returncode == 0, done.stderr
    assert "resuming from step 4 of 8" in done.stderr
    assert losses(project / name) == pytest.approx(losses(project / "whole"), rel=1e-6)


def test_lora_on_two_processes_that_is_killed_continues_on_four(project: Path) -> None:
    lora: dict[str, Any] = {"tuning": {"method": "lora", "rank": 4, "dropout": 0.0}}
    assert run(project, "lora-whole", 2, **lora).returncode == 0
    assert run(project, "lora", 2, kills="step", **lora).returncode != 0
    done = run(project, "lora", 4, **lora)
    assert done.returncode == 0, done.stderr
    assert "resuming from step" in done.stderr
    assert losses(project / "lora") == pytest.approx(losses(project / "lora-whole"), rel=1e-7)


def test_a_damaged_shard_is_reported_and_the_one_before_used(project: Path) -> None:
    checkpoints = copied(project, "damaged") / "checkpoints"
    newest = max(entry for entry in checkpoints.iterdir() if not entry.name.startswith("."))
    shard = newest / "shards" / "__1_0.distcp"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    done = run(project, "damaged", 2)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("__1_0.distcp is damaged; resuming from the one before it") == 1
    assert "resuming from step 3 of 8" in done.stderr
    assert losses(project / "damaged") == pytest.approx(losses(project / "whole"), rel=1e-6)


def test_a_reference_to_a_step_gives_its_weights(project: Path) -> None:
    model, _ = mftkit.load_model(f"{project / 'whole'}@8")
    held = load_file(project / "whole" / "model" / "model.safetensors")
    own = model.state_dict()
    assert held.keys() <= own.keys()
    assert all(torch.equal(own[name], tensor) for name, tensor in held.items())
