from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mftkit.training.validation import Validator
from small_runs import rows, write_rows


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory with the data of two tasks."""
    write_rows(tmp_path / "data" / "big.jsonl", rows("big", 240))
    write_rows(tmp_path / "data" / "small.jsonl", rows("small", 60))
    return tmp_path


@pytest.fixture
def losses(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the validation losses: (big, small) at the start, then one pair a validation, the last for ever."""

    def script(*pairs: tuple[float, float]) -> None:
        turns = iter(pairs)
        last = pairs[-1]
        monkeypatch.setattr(
            Validator, "losses", lambda _self, _scorer: (np.array(next(turns, last)) * 10.0, np.full(2, 10.0))
        )

    return script
