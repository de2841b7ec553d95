"""The files of an evaluation."""

from __future__ import annotations

import json
from pathlib import Path

from mftkit.evaluation.results import EvaluationResults, write_rows
from mftkit.tools.evaluate.page import write_page


def test_notes_may_hold_what_utf8_cannot(tmp_path: Path) -> None:
    """An answer's program may raise an error with a lone surrogate, which its note quotes."""
    verdict = {"scores": {"m": 0.0}, "passed": False, "note": "ValueError: \ud800é"}
    row = {
        "id": "a", "prompt": "é", "reference": None, "answers": [{"text": "x", "complete": True, "tokens": 1}],
        "verdicts": {"e": [verdict]},
    }  # fmt: skip
    write_rows(tmp_path, "t", [row])
    text = (tmp_path / "t.jsonl").read_text(encoding="utf-8")
    assert json.loads(text) == row
    page = write_page(tmp_path, "m", EvaluationResults({"t": {}}))
    assert "ValueError: ?é" in page.read_text(encoding="utf-8")
