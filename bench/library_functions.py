"""Real text of known origin for benchmarks: functions of Python's standard library."""

from __future__ import annotations

import ast
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def functions(limit: int) -> Iterator[str]:
    """Functions of the standard library of 3 to 60 lines."""
    count = 0
    for file in sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.py")):
        if "site-packages" in file.parts:
            continue
        try:
            source = file.read_text(encoding="utf-8")
            tree = ast.parse(source)
        except (SyntaxError, ValueError):  # files that test the parser
            continue
        lines = source.splitlines()
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and 3 <= (node.end_lineno or 0) - node.lineno <= 60:
                yield "\n".join(lines[node.lineno - 1 : node.end_lineno])
                count += 1
                if count == limit:
                    return
