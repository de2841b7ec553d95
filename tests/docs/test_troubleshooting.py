"""Each message that docs/troubleshooting.md explains is one that the program prints."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from documents import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
MESSAGES = re.findall(r"^### `(.+)`$", PAGE, re.MULTILINE)
GAP = "..."
"""A part of a message that differs from time to time."""


@cache
def texts() -> list[str]:
    """All texts in the source; what an f-string fills in is a gap."""
    found = []
    for root in ("registry", "core", "plugins"):
        for path in (ROOT / root).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    found.append(
                        "".join(
                            str(part.value) if isinstance(part, ast.Constant) else GAP for part in node.values
                        )
                    )
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
    return found


@pytest.mark.parametrize("message", MESSAGES)
def test_it_is_printed_by_the_program(message: str) -> None:
    parts = [re.escape(part.strip()) for part in message.split(GAP)]
    pattern = re.compile(".*".join(parts), re.DOTALL)
    assert any(pattern.search(text) for text in texts()), "no such text in the source"


def test_each_has_a_cause_and_a_fix() -> None:
    assert len(MESSAGES) > 15
    sections = re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]
    assert all("\n\n" in section and "**Fix**" in section for section in sections)
