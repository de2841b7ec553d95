from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

import pytest

import commands

if TYPE_CHECKING:
    from pathlib import Path

    from fixture_types import Mft, Rows


@pytest.fixture
def mft(tmp_path: Path) -> Mft:
    """Runs the command line in this process, with more directories of distributions on its path."""
    return functools.partial(commands.mft, cwd=tmp_path)


@pytest.fixture
def mft_process(tmp_path: Path) -> Mft:
    """Runs the command line in a process of its own."""
    return functools.partial(commands.mft_process, cwd=tmp_path)


@pytest.fixture
def rows(mft: Mft) -> Rows:
    """The rows of ``mft plugins list --json``, by name."""

    def listed(*sites: Path, **environment: str) -> dict[str, dict[str, Any]]:
        done = mft("plugins", "list", "--json", sites=sites, **environment)
        assert done.returncode == 0, done.stderr
        return {row["name"]: row for row in json.loads(done.stdout)}

    return listed
