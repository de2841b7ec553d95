"""docs/first-plugin.md, followed to the letter: its commands are run, its files are written."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from commands import environment
from documents import ROOT, SHELLS, blocks, commands
from forked import start_code

PAGE = ROOT / "docs" / "first-plugin.md"


class Author:
    """Who follows the page: a directory, and an environment into which the author's package is installed."""

    def __init__(self, place: Path) -> None:
        self.directory = place / "project"
        self.directory.mkdir()
        venv.create(place / "venv", with_pip=False)
        self.python = place / "venv" / "bin" / "python"
        self.site = Path(sysconfig.get_path("purelib", vars={"base": str(place / "venv")}))
        here = sysconfig.get_path("purelib")
        (self.site / "outer.pth").write_text(f"import site; site.addsitedir({here!r})\n")

    def follow(self, words: list[str]) -> str:
        """Run one command of the page; what it wrote."""
        if words[0] == "cd":
            self.directory /= words[1]
            return ""
        if words[0] == "mft":
            done = self._python("from mftkit.cli import main", f"main({words[1:]})")
        elif words[0] == "pytest":
            done = self._python("from pytest import main", f"main({[*words[1:], '-p', 'no:cacheprovider']})")
        else:
            done = self._pip(words)
        assert done.returncode == 0, (words, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return done.stdout

    def _python(self, begin: str, call: str) -> subprocess.CompletedProcess[str]:
        """Run code in a separate process that sees what is installed in the environment."""
        inside = (
            f"import site, sys; site.addsitedir({str(self.site)!r}); sys.executable = {str(self.python)!r}"
        )
        process = start_code(f"{inside}\n{begin}\nsys.exit({call})", self.directory)
        out, err = process.communicate()
        return subprocess.CompletedProcess([call], process.wait(), out, err)

    def _pip(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        assert words[0] == "pip", words
        return subprocess.run(
            [self.python, "-m", *words, "--no-deps", "--no-build-isolation"],  # fetches nothing
            cwd=self.directory, env=environment(PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INDEX="1"),
            capture_output=True, text=True, check=False,
        )  # fmt: skip


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="the page is written for a POSIX shell")
def test_the_page_leads_from_nothing_to_a_trained_model(tmp_path: Path) -> None:
    author, written = Author(tmp_path), ""
    for block in blocks(PAGE):
        if block.file:
            (author.directory / block.file).write_text(block.text, "utf-8")
        else:
            assert block.language in SHELLS, f"a block that is neither a command nor a file: {block.text}"
            written += "".join(map(author.follow, commands(block)))
    assert "The loss up to which a token costs nothing, in nats." in written
    assert re.search(r"^\d\d passed", written.replace("= ", "\n"), re.MULTILINE), written[-3000:]
    assert re.search(r"^(\d\d) checks: \1 passed, 0 of them with a warning; 0 failed$", written, re.MULTILINE)

    run = author.directory / "runs" / "margin"
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["reason"] == "finished"
    trained = [line for line in lines if line["event"] == "train"]
    for line in trained:  # below the token mean by what the margin spares: half a nat of most tokens
        mean = sum(task["loss"] for task in line["tasks"].values()) / 2
        assert mean - 0.5 <= line["loss"] < mean
    assert "mft-margin" in (run / "environment.json").read_text()
    assert (run / "model" / "config.json").exists()
