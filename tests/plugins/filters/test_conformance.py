"""What every filter promises; the one that runs programs does so in whatever is there."""

import json
import tempfile
from pathlib import Path

import pytest

from built_in import suites
from mftkit.plugins import executors, kinds
from mftkit.testing.filters import some_rows

PLACE = tempfile.TemporaryDirectory()
REFERENCES = Path(PLACE.name) / "references.jsonl"
REFERENCES.write_text(
    json.dumps({"text": "Write a function that adds 3 to a number and multiplies it by 0."}) + "\n"
)


@pytest.fixture(autouse=True)
def _weak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(executors.WEAK, "1")


globals().update(
    suites(
        kinds.DATA_FILTER,
        decontamination={"options": {"references": [str(REFERENCES)], "field": "text"}},
        verification={"given": tuple(some_rows()[:4])},  # each is executed up to three times, in each test
        well_formed={"options": {"needs_code": True}},
    )
)
