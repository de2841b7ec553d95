"""``mft plugins`` with plugins in files."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from commands import mft

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "file-plugin"


@pytest.fixture(autouse=True)
def nothing_left() -> Any:
    yield
    for name in [name for name in sys.modules if name.startswith("mftkit_file_")]:
        del sys.modules[name]


def test_a_specs_plugins_are_listed_and_shown(tmp_path: Path) -> None:
    listed = mft("plugins", "list", "--json", "--spec", EXAMPLE / "spec.json", cwd=tmp_path)
    rows = {row["name"]: row for row in json.loads(listed.stdout)}
    assert (rows["margin"]["kind"], rows["margin"]["status"]) == ("loss", "ok")
    assert rows["margin"]["distribution"] == str(EXAMPLE / "my_plugin.py")
    assert rows["margin"]["sha256"].startswith(rows["margin"]["version"])
    assert "margin" not in mft("plugins", "list", "--kind", "loss", cwd=tmp_path).stdout
    shown = mft(
        "plugins", "show", "callback", "stop-when-flat", "--spec", EXAMPLE / "spec.json", cwd=tmp_path
    )
    assert f"from {EXAMPLE / 'my_plugin.py'}" in shown.stdout
    assert "least" in shown.stdout


def test_a_broken_file_is_a_row_and_a_missing_one_a_message(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("\n1 / 0\n")
    (tmp_path / "spec.json").write_text('{"plugins": ["bad.py"]}')
    listed = mft("plugins", "list", "--json", "--spec", "spec.json", cwd=tmp_path)
    (row,) = [row for row in json.loads(listed.stdout) if row["status"] == "error"]
    assert row["error"] == f"{tmp_path / 'bad.py'}:2: ZeroDivisionError: division by zero"
    (tmp_path / "spec.json").write_text('{"plugins": ["none.py"]}')
    done = mft("plugins", "list", "--spec", "spec.json", cwd=tmp_path)
    assert (done.returncode, "none.py: no such file" in done.stderr) == (2, True)


def test_all_components_of_a_file_are_checked(tmp_path: Path) -> None:
    done = mft("plugins", "check", EXAMPLE / "my_plugin.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("; 0 failed") == 2
    one = mft(
        "plugins", "check", EXAMPLE / "my_plugin.py", "--kind", "callback", "--set", "least=1", cwd=tmp_path
    )
    assert one.stdout.count("; 0 failed") == 1
    several = mft("plugins", "check", EXAMPLE / "my_plugin.py", "--set", "least=1", cwd=tmp_path)
    assert (several.returncode, "several components" in several.stderr) == (2, True)
    none = mft("plugins", "check", EXAMPLE / "my_plugin.py", "--kind", "tuning", cwd=tmp_path)
    assert (none.returncode, "registers no tuning" in none.stderr) == (2, True)


def test_calls_are_traced(tmp_path: Path) -> None:
    done = mft("plugins", "list", "--spec", EXAMPLE / "spec.json", cwd=tmp_path, MFT_TRACE_PLUGINS="1")
    assert f"plugins: register_losses(register=register) of {EXAMPLE / 'my_plugin.py'}: 0." in done.stderr
    assert "plugins: register_losses(register=register) of losses: 0." in done.stderr
