"""In processes of their own: these tools leave threads, files and settings behind."""

from pathlib import Path
from typing import Any

import pytest

from forked import mft_forked
from mftkit.plugins import installed, kinds

TRACKERS = [
    row.name for row in installed.registry().plugins if row.kind == "tracker" and row.distribution == "mftkit"
]


@pytest.mark.long
@pytest.mark.parametrize("name", TRACKERS)
def test_conformance(name: Any, tmp_path: Path) -> None:
    tracker: Any = installed.component_class(kinds.TRACKER, name)
    for module in tracker.packages:
        pytest.importorskip(module)
    places: Any = {f"WANDB_{place}_DIR": str(tmp_path / place) for place in ("DATA", "CACHE", "CONFIG")}
    done = mft_forked("plugins", "check", name, cwd=tmp_path, **places)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-2000:]}"
