"""What a run imports: a full fine-tuning needs neither peft nor datasets, and nothing of an engine that it lacks."""

import json
import subprocess
import sys
from pathlib import Path

from commands import environment
from small_runs import rows, small_spec, write_rows

UNUSED = ("peft", "bitsandbytes", "datasets", "deepspeed", "mlflow", "wandb", "tensorboard", "sklearn")
BEFORE_THE_END = ("plotly",)
"""Imported when the report is written, after the last step."""
PROGRAM = f"""
import sys
from mftkit.cli import main
from mftkit.training.loop import Trainer

def loaded(names):
    return [name for name in names if name in sys.modules]

train = Trainer.train

def then_print(trainer):
    outcome = train(trainer)
    print("trained", loaded({UNUSED + BEFORE_THE_END}), file=sys.stderr)
    return outcome

Trainer.train = then_print
code = main(["run", "spec.json"])
print("ended", loaded({UNUSED}), file=sys.stderr)
sys.exit(code)
"""


def test_a_run_imports_no_package_that_it_does_not_use(tmp_path: Path) -> None:
    for task in ("big", "small"):
        write_rows(tmp_path / "data" / f"{task}.jsonl", rows(task, 30))
    spec = small_spec(training={"epochs": None, "max_steps": 1})
    spec["training"].pop("epochs")
    (tmp_path / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "trained []" in done.stderr
    assert "ended []" in done.stderr
