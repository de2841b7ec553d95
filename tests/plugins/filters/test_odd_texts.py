"""Half a megabyte of odd text passes every filter in seconds: the time of each grows with the length alone."""

import base64
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from references import PROBLEM

ODD = {
    "minified": "function a(b,c){return b.d(c)};" * 15_000,
    "base64": base64.b64encode(random.Random(1).randbytes(375_000)).decode(),
    "one line of Chinese": "".join(chr(0x4E00 + i * i % 4096) for i in range(175_000)),
    "spaces": "x" + " " * 500_000 + "y",
    "a table": "[" + "1," * 125_000 + "]",
    "quotes": '"""' * 125_000,
    "an open fence": "```python\nx = '" + "a" * 500_000,
    "backslashes": "'" + "\\" * 500_000,
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("exact-duplicates", {}),
        ("near-duplicates", {}),
        ("decontamination", {"references": ["references.jsonl"]}),
        ("well-formed", {"needs_code": True}),
    ],
)
def test_an_odd_text_takes_seconds(
    name: str, options: dict[str, Any], kind: str, pass_through: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "references.jsonl").write_text(json.dumps(PROBLEM))
    before = sum(os.times()[:4])  # of this process and those that it started: others may use the machine
    found = pass_through(name, [{"prompt": "Why?", "answer": ODD[kind]}], **options)
    assert len(found.kept) + len(found.dropped) == 1
    assert sum(os.times()[:4]) - before < 8  # what grows with the square of the length takes minutes
