"""``mft cache`` and ``mft generate --output``."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

from filelock import FileLock

if TYPE_CHECKING:
    from pathlib import Path

    from fixture_types import Mft


def test_the_cache_is_listed_and_pruned(tmp_path: Path, mft: Mft) -> None:
    cache = tmp_path / "cache"
    for kind, name, days in (("tokens", "aa", 40), ("generated", "bb", 1), ("filtered", "cc", 3)):
        entry = cache / kind / name
        entry.mkdir(parents=True)
        (entry / "manifest.json").write_text(json.dumps({"task": f"task-{name}", "rows": 3}))
        (entry / "rows.jsonl").write_bytes(b"x" * 2000)
        moment = time.time() - days * 86400
        for file in entry.iterdir():
            os.utime(file, (moment, moment))
    listed = mft("cache", "list", MFT_CACHE=str(cache))
    assert listed.returncode == 0, listed.stderr
    assert "task-aa" in listed.stdout
    assert "3 entries, 6.1 KB" in listed.stdout
    assert mft("cache", "prune", "--cache", cache).returncode == 2
    assert mft("cache", "prune", "--cache", cache, "--max-size", "many").returncode == 2
    done = mft("cache", "prune", "--cache", cache, "--older-than", "30d", "--dry-run")
    assert "1 entries, 2.0 KB would be freed" in done.stdout
    assert (cache / "tokens/aa").exists()
    mft("cache", "prune", "--cache", cache, "--older-than", "30d")
    assert not (cache / "tokens/aa").exists()
    with FileLock(f"{cache / 'filtered/cc'}.lock"):
        held = mft("cache", "prune", "--cache", cache, "--max-size", "0.5KB")
    assert "in use by a running command" in held.stderr
    assert (cache / "filtered/cc").exists()
    assert not (cache / "generated/bb").exists()
    mft("cache", "prune", "--cache", cache, "--all")
    assert not (cache / "filtered/cc").exists()


def test_generated_rows_are_written_to_files(tmp_path: Path, mft: Mft) -> None:
    (tmp_path / "src").mkdir()
    body = "".join(
        f'def f{i}(a):\n    """Add {i} to a."""\n    b = a + {i}\n    return b\n\n\n' for i in range(6)
    )
    (tmp_path / "src/m.py").write_text(body)
    options = {"paths": ["src"], "samples": 3}
    task = {"name": "made", "generator": {"name": "python-source", "options": options}}
    spec = {"model": {"path": "org/model"}, "tasks": [task], "data": {"cache": "cache"}}
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    done = mft("generate", "spec.json", "--output", "out")
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "out/made.jsonl").read_text().splitlines()
    assert f"({len(lines)} rows)" in done.stdout
    assert all(json.loads(line) for line in lines)
    again = mft("generate", "spec.json", "--output", "out/made.jsonl")
    assert again.returncode == 2
    assert "--force" in again.stderr
    assert mft("generate", "spec.json", "--output", "out/made.jsonl", "--force").returncode == 0
