"""The map for newcomers names files that exist, and the order that CI holds."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
MAP = (ROOT / "docs/architecture.md").read_text("utf-8")
AGENTS = (ROOT / "AGENTS.md").read_text("utf-8")


def order() -> list[str]:
    """The packages of core, high to low, as the contract has them."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    [layers] = [contract["layers"] for contract in contracts if contract.get("containers") == ["mftkit"]]
    return list(layers)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:core|plugins|registry)/[^`]*)`", MAP))))
def test_the_map_names_what_exists(path: str) -> None:
    found = ROOT / path
    assert found.is_dir() if path.endswith("/") else found.is_file()


def test_the_map_has_the_order_that_is_held() -> None:
    rows = re.findall(r"^\| `core/mftkit/(\w+)(?:/|\.py)` \|", MAP, re.MULTILINE)
    assert rows == order()


def test_the_agents_page_has_the_order_that_is_held() -> None:
    assert ", ".join(order()) + "." in AGENTS.split("\n")


def test_the_order_holds_every_package_of_core() -> None:
    inside = {
        path.stem
        for path in (ROOT / "core/mftkit").iterdir()
        if (path.suffix == ".py" and path.stem != "__init__") or (path / "__init__.py").is_file()
    }
    assert inside == set(order())


def test_no_import_is_ignored() -> None:
    assert "ignore_imports" not in (ROOT / "pyproject.toml").read_text("utf-8")


def test_the_map_names_every_tool() -> None:
    tools = {
        path.name + ("/" if path.is_dir() else "")
        for path in (ROOT / "core/mftkit/tools").iterdir()
        if path.name != "__init__.py" and not path.name.startswith("__")
    }
    [row] = [line for line in MAP.split("\n") if line.startswith("| `core/mftkit/tools/`")]
    assert set(re.findall(r"`([\w]+(?:\.py|/))`", row)) == tools


def test_the_lowest_versions_that_are_tested_are_those_allowed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lines = (ROOT / "constraints-lowest.txt").read_text("utf-8").splitlines()
    floors = {line.replace(">=", "==").split(",")[0] for line in project["dependencies"]}
    assert {line for line in lines if line[0] != "#"} <= floors
