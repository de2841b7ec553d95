"""The examples in docstrings do what they show.

Here and not by ``--doctest-modules``, which looks through every module of the program and of the tests in each of
pytest's processes before the first test starts.
"""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOTS = ("registry", "core", "plugins")


def modules_with_examples() -> list[str]:
    found = []
    for root in ROOTS:
        for path in sorted((ROOT / root).rglob("*.py")):
            if ">>> " in path.read_text(encoding="utf-8"):
                parts = path.relative_to(ROOT / root).with_suffix("").parts
                found.append(".".join(parts).removesuffix(".__init__"))
    return found


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_do_what_they_show(name: str) -> None:
    done = doctest.testmod(importlib.import_module(name))
    assert done.attempted > 0
    assert done.failed == 0
