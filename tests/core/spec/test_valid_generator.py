"""``valid`` may name a generator: read, written, and refused at the right place."""

import json
from pathlib import Path
from typing import Any

import pytest

from mftkit.spec import ComponentRef, SpecError, load_spec
from mftkit.spec.references import located_components


def spec_of(valid: Any, **task: Any) -> dict[str, Any]:
    return {
        "name": "x",
        "model": {"path": "org/base"},
        "tasks": [{"name": "a", "train": ["a.jsonl"], "valid": valid, **task}],
    }


@pytest.mark.parametrize("named", ["python-source", {"name": "python-source", "options": {"samples": 20}}])
def test_it_is_read_and_written(tmp_path: Path, named: Any) -> None:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(spec_of({"generator": named}, columns={"problem": "prompt"})))
    spec = load_spec(path)
    ref = spec.tasks[0].valid_generator
    assert isinstance(ref, ComponentRef)
    assert (ref.name, ref.options["samples"]) == ("python-source", None if named == "python-source" else 20)
    assert spec.tasks[0].validates
    assert ("tasks", 0, "valid", "generator") in [at for at, _, _ in located_components(spec)]
    dumped = spec.model_dump(mode="json")
    assert set(dumped["tasks"][0]["valid"]) == {"generator"}
    path.write_text(json.dumps(dumped))
    assert load_spec(path) == spec
    assert load_spec(path, ["tasks.0.valid.generator.options.samples=7"]).tasks[0].valid_generator


@pytest.mark.parametrize(
    ("valid", "problem"),
    [
        ({"generator": "python-sauce"}, 'tasks.0.valid.generator.name: unknown data-generator (given: "python-sauce")'),
        (
            {"generator": {"name": "python-source", "options": {"samples": 0}}},
            "tasks.0.valid.generator.options.samples: should be greater than or equal to 1 (given: 0)",
        ),
        ({"generator": {"name": "python-source", "samples": 1}}, "tasks.0.valid.generator.samples: unknown key"),
        ({"generator": "python-source", "split": "x"}, "tasks.0.valid.split: unknown key"),
        ([{"generator": "python-source"}], "tasks.0.valid.0.generator: cannot be one of several sources"),
        (True, 'tasks.0.valid: should be a list of paths, {"generator": ...}, or a fraction'),
    ],
)  # fmt: skip
def test_what_is_refused_is_located(tmp_path: Path, valid: Any, problem: str) -> None:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(spec_of(valid), indent=1))
    with pytest.raises(SpecError) as error:
        load_spec(path)
    (found,) = error.value.problems
    assert str(found).startswith(problem)
    assert error.value.positions.line(found.location) is not None
