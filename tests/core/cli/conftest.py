from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from fixture_types import Mft, Rows


@pytest.fixture
def mft(tmp_path: Path) -> Mft:
    """Runs the command line in a process of its own, with more directories of distributions on its path."""

    def run(
        *arguments: str, sites: tuple[Path, ...] = (), **environment: str
    ) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([*map(str, sites), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep)
        more = {"PYTHONPATH": path} if path else {}
        return subprocess.run(
            [sys.executable, "-m", "mftkit.cli", *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={**os.environ, **more, **environment},
        )

    return run


@pytest.fixture
def rows(mft: Mft) -> Rows:
    """The rows of ``mft plugins list --json``, by name."""

    def listed(*sites: Path, **environment: str) -> dict[str, dict[str, Any]]:
        done = mft("plugins", "list", "--json", sites=sites, **environment)
        assert done.returncode == 0, done.stderr
        return {row["name"]: row for row in json.loads(done.stdout)}

    return listed
