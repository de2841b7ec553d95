"""Errors name the line of their key, in JSON and in YAML, or ``--set``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mftkit.spec import SpecError, load_spec

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit_registry import Registry

JSON = """{
  "model": {"path": "org/model"},
  "tasks": [
    {"name": "a", "train": ["a.jsonl"]},
    {"name": "b",
     "train": ["b.jsonl"],
     "weigth": 2},
    {"train": "c.jsonl"}
  ],
  "loss": "bent",
  "training": {
    "epochs": "no", "gradient_checkpointing": 1
  }
}
"""
YAML = """# two tasks
model: {path: org/model}
tasks:
- {name: a, train: [a.jsonl]}
- name: b
  train: [b.jsonl]
  weigth: 2
- train: c.jsonl
loss: bent

training:
  epochs: no
  gradient_checkpointing: yes
data:
"""


def lines_of(path: Path, text: str, *overrides: str) -> list[str]:
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        load_spec(path, overrides)
    first, *rest = str(caught.value).split("\n  ")
    return [line.removeprefix(str(path)) for line in (rest or [first])]


def test_json(stand_ins: Registry, tmp_path: Path) -> None:
    found = lines_of(tmp_path / "s.json", JSON, "loss.options.gamma=-1", "training.log_every=0")
    assert [line.split(" ", 2)[:2] for line in found] == [
        [":7:", "tasks.1.weigth:"],
        [":8:", "tasks.2.name:"],
        ["--set:", "loss.options.gamma:"],
        [":12:", "training.epochs:"],
        [":12:", "training.gradient_checkpointing:"],
        ["--set:", "training.log_every:"],
    ]
    assert found[0].endswith('did you mean "weight"?')


def test_yaml(stand_ins: Registry, tmp_path: Path) -> None:
    found = lines_of(tmp_path / "s.yml", YAML)
    assert [line.split(" ", 2)[:2] for line in found] == [
        [":7:", "tasks.1.weigth:"],
        [":8:", "tasks.2.name:"],
        [":14:", "data:"],
        [":12:", "training.epochs:"],
        [":13:", "training.gradient_checkpointing:"],
    ]
    assert found[2].endswith("data: should be an object (given: null)")
    assert (
        'should be true or false, or is not an allowed value (given: "yes"); allowed: "selective"' in found[4]
    )


def test_one_error_is_one_line(stand_ins: Registry, tmp_path: Path) -> None:
    text = (
        "model: {path: org/model}\ntasks: [{name: a, train: a}]\n\nloss: {name: bent, options: {gama: 1}}\n"
    )
    (line,) = lines_of(tmp_path / "s.yaml", text)
    assert line.startswith(":4: loss.options.gama: unknown key (given: 1); allowed: ")


def test_a_yaml_spec_is_the_same_spec_as_json(stand_ins: Registry, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        "model: {path: org/model}   # the base\ntasks:\n- {name: a, train: [a.jsonl]}\n"
        "training:\n  learning_rate: 1e-5\n"
    )
    (tmp_path / "s.json").write_text(
        '{"model": {"path": "org/model"}, "tasks": [{"name": "a", "train": ["a.jsonl"]}],'
        '"training": {"learning_rate": 0.00001}}'
    )
    assert load_spec(tmp_path / "s.yaml") == load_spec(tmp_path / "s.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "s.yaml: expected keys with values (KEY: VALUE), not an empty file"),
        ("- 1", "s.yaml: expected keys with values (KEY: VALUE), not list"),
        ("a: 1\na: 2", 's.yaml:2: the key "a" is given twice'),
    ],
)
def test_files_that_hold_no_spec(tmp_path: Path, text: str, message: str) -> None:
    from mftkit_registry import MftError

    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(MftError) as caught:
        load_spec(tmp_path / "s.yaml")
    assert message in str(caught.value)


def test_a_spec_from_python_has_no_lines(stand_ins: Registry) -> None:
    with pytest.raises(SpecError) as caught:
        load_spec({"name": "x", "model": {"path": "org/model"}, "tasks": [], "sed": 1}, ["seed=x"])
    assert str(caught.value).split("\n  ")[0] == "spec: 3 errors:"
    assert "\n  tasks: list should have" in str(caught.value)
    assert "\n  --set: seed: should be" in str(caught.value)
