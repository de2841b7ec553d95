"""Every spec that the project shows to its users is one that the program takes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import mftkit

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.json"))
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "examples").glob("*.md")),
    *sorted((ROOT / "docs").glob("**/*.md")),
]
FENCED = re.compile(r"^```json\n(.*?)^```", re.MULTILINE | re.DOTALL)


def specs_in(page: Path) -> list[str]:
    """The JSON blocks that are whole specs."""
    blocks = FENCED.findall(page.read_text(encoding="utf-8"))
    return [block for block in blocks if '"tasks"' in block and '"model"' in block]


BLOCKS = [
    pytest.param(block, id=f"{page.relative_to(ROOT).as_posix()}-{number}")
    for page in PAGES
    for number, block in enumerate(specs_in(page))
]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_valid(path: Path) -> None:
    spec = mftkit.load_spec(path)
    assert spec.name == path.stem
    assert len(spec.tasks) >= (
        2 if any(task.generator and "model" in task.generator.options for task in spec.tasks) else 4
    )


@pytest.mark.parametrize("block", BLOCKS)
def test_a_spec_in_the_docs_is_valid(block: str, tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    path.write_text(block, encoding="utf-8")
    mftkit.load_spec(path)


def test_there_are_examples() -> None:
    assert {"quickstart", "six-tasks", "packing", "mft", "sft-mixed", "generate-exercises"} <= {
        path.stem for path in EXAMPLES
    }


def test_the_readme_tells_of_each_example() -> None:
    told = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    packages = [path.parent for path in (ROOT / "examples" / "plugins").glob("*/pyproject.toml")]
    missing = [path.name for path in (*EXAMPLES, *packages) if path.name not in told]
    assert not missing


def raw(name: str) -> dict[str, Any]:
    spec: dict[str, Any] = json.loads((ROOT / "examples" / f"{name}.json").read_text())
    return spec


def test_the_example_of_mixing_is_sft_mixed_but_for_the_mixing() -> None:
    mixed, mixing = raw("sft-mixed"), raw("mixing")
    assert {each for each in mixing if mixed.get(each) != mixing[each]} == {"name", "output", "mixing"}


@pytest.mark.parametrize(("name", "key"), [("sft-mixed", "loss"), ("packing", "tokenization")])
def test_a_comparison_changes_one_thing(name: str, key: str) -> None:
    mft, other = raw("mft"), raw(name)
    assert mft.keys() == other.keys()
    assert {each for each in mft if mft[each] != other[each]} == {"name", "output", key}
