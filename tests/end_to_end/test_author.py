"""docs/first-plugin.md, followed to the letter: its commands are run, its files are written."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from commands import environment

PAGE = Path(__file__).parents[2] / "docs" / "first-plugin.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INTO = re.compile(r"into `([^`]+)`:[^`]*$")


def script() -> str:
    """The page as one shell script: a block that stands after "into `FILE`:" is that file."""
    page, end, steps = PAGE.read_text(encoding="utf-8"), 0, ["set -euo pipefail"]
    for block in BLOCK.finditer(page):
        language, text = block.groups()
        named = INTO.search(page[end : block.start()])
        if named:
            steps.append(f"cat > {shlex.quote(named[1])} <<'END-OF-FILE'\n{text}END-OF-FILE")
        else:
            assert language == "sh", f"a block that is neither a command nor a file: {text}"
            steps.append(text)
        end = block.end()
    return "\n".join(steps)


@pytest.fixture
def programs(tmp_path: Path) -> dict[str, str]:
    """An environment of its own that sees what is installed here; its pip fetches nothing."""
    home = tmp_path / "venv"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    site = Path(sysconfig.get_path("purelib", vars={"base": str(home)}))
    here = sysconfig.get_path("purelib")
    (site / "outer.pth").write_text(f"import site; site.addsitedir({here!r})\n")
    commands = {
        "mft": '-m mftkit.cli "$@"',
        "pytest": '-m pytest -p no:cacheprovider "$@"',
        "pip": '-m pip "$@" --no-deps --no-build-isolation',
    }
    for name, arguments in commands.items():
        program = home / "bin" / name
        program.write_text(f'#!/bin/sh\nexec "{python}" {arguments}\n')
        program.chmod(0o755)
    path = os.pathsep.join([str(home / "bin"), os.environ["PATH"]])
    # Plugins of pytest that happen to be installed here take a second to import.
    return environment(
        PATH=path, PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INDEX="1", PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"
    )


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="the page is written for a POSIX shell")
def test_the_page_leads_from_nothing_to_a_trained_model(programs: dict[str, str], tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    done = subprocess.run(
        ["bash", "-c", script()], cwd=project, env=programs, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert "The loss up to which a token costs nothing, in nats." in done.stdout
    assert re.search(r"^\d\d passed", done.stdout.replace("= ", "\n"), re.MULTILINE), done.stdout[-3000:]
    assert re.search(
        r"^(\d\d) checks: \1 passed, 0 of them with a warning; 0 failed$", done.stdout, re.MULTILINE
    )

    run = project / "mft-margin" / "runs" / "margin"
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["reason"] == "finished"
    trained = [line for line in lines if line["event"] == "train"]
    for line in trained:  # below the token mean by what the margin spares: half a nat of most tokens
        mean = sum(task["loss"] for task in line["tasks"].values()) / 2
        assert mean - 0.5 <= line["loss"] < mean
    assert "mft-margin" in (run / "environment.json").read_text()
    assert (run / "model" / "config.json").exists()
