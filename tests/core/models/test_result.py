"""Where results are found, and the errors if there is none."""

import json
from pathlib import Path

import pytest

import mftkit
from mftkit.models.result import find_result


def holds(directory: Path, name: str, text: str = "{}") -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_text(text)
    return directory


@pytest.fixture
def run(tmp_path: Path) -> Path:
    spec = {"model": {"adapter": "auto", "trust_remote_code": False}}
    return holds(tmp_path / "run", "spec.json", json.dumps(spec))


def test_a_runs_result_is_its_model(run: Path) -> None:
    holds(run / "model", "config.json")
    for given in (run, run / "model"):
        found = find_result(given)
        assert (found.path, found.run, found.config) == (run / "model", run, None)
        assert found.model["adapter"] == "auto"


def test_a_best_step_is_the_runs_and_has_its_base(run: Path) -> None:
    step = holds(
        run / "best" / "step-00000003", "adapter_config.json", '{"base_model_name_or_path": "org/gone"}'
    )
    found = find_result(step)
    assert (found.path, found.run, found.base) == (step, run, "org/gone")
    (run / "base").mkdir()
    assert find_result(step).base == str(run / "base")


def test_several_results_are_named(run: Path) -> None:
    holds(run / "best", "best.json")
    (run / "best" / "step-00000003").mkdir()
    with pytest.raises(
        mftkit.MftError, match="contains several results; give the directory of one: step-00000003"
    ):
        find_result(run / "best")


def test_a_directory_without_a_run_is_taken_by_itself(tmp_path: Path) -> None:
    assert find_result(holds(tmp_path / "there", "config.json")).run is None
    with pytest.raises(mftkit.MftError, match="neither a run directory nor a PEFT adapter nor a model"):
        find_result(tmp_path)


def test_a_corrupt_file_is_reported(run: Path) -> None:
    holds(run / "model", "adapter_config.json", "[]")
    with pytest.raises(mftkit.MftError, match="is corrupt: expected a JSON object, found list"):
        find_result(run)
