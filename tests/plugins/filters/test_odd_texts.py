"""Two megabytes of odd text pass every filter in seconds: the time of each grows with the length alone."""

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
    "minified": "function a(b,c){return b.d(c)};" * 60_000,
    "base64": base64.b64encode(random.Random(1).randbytes(1_500_000)).decode(),
    "one line of Chinese": "".join(chr(0x4E00 + i * i % 4096) for i in range(700_000)),
    "spaces": "x" + " " * 2_000_000 + "y",
    "a table": "[" + "1," * 500_000 + "]",
    "quotes": '"""' * 500_000,
    "an open fence": "```python\nx = '" + "a" * 2_000_000,
    "backslashes": "'" + "\\" * 2_000_000,
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
    assert sum(os.times()[:4]) - before < 30  # at most 9 s alone on this machine
