"""The files of a run's evaluations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mftkit.training.run_evaluations import RunEvaluations


def test_files_of_later_steps_are_removed_and_copies_are_not(tmp_path: Path) -> None:
    for name in ("step-2", "step-8", "step-8.old", "step-copy"):
        (tmp_path / name).mkdir()
    none: Any = None
    RunEvaluations(none, tmp_path, none, None).forget_after(4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-2", "step-8.old", "step-copy"]
