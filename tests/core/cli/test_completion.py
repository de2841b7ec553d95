"""Shell completion by its own protocol: what a shell asks, through the environment, and what it reads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from fixture_types import Install, Mft

LIGHT = (
    "import sys, atexit\n"
    "atexit.register(lambda: sys.stderr.write(str([m for m in ('torch', 'transformers') if m in sys.modules])))\n"
    "from mftkit.cli import main\n"
    "sys.exit(main([]))\n"
)


def asked(shell: str, line: str) -> dict[str, str]:
    """The environment in which a shell asks how ``line`` goes on."""
    words = line.split(" ")
    if shell == "bash":
        return {"_MFT_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    more = {"_TYPER_COMPLETE_FISH_ACTION": "get-args"} if shell == "fish" else {}
    return {"_MFT_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": line, **more}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_kinds_and_components(mft_process: Mft, shell: str) -> None:
    for line, offered in [
        ("mft pl", "plugins"),
        ("mft plugins show tok", "tokenization-mode"),
        ("mft plugins list --kind bal", "balancer"),
        ("mft plugins show losses token", "token-balanced"),
    ]:
        done = mft_process(**asked(shell, line))
        assert (done.returncode, done.stderr) == (0, "")
        assert offered in done.stdout
        others = {"run", "generate", "loss", "balancer", "equal"} - {offered}
        assert not others & set(done.stdout.split())


def test_a_word_too_many_a_kind_that_is_none_and_a_broken_plugin_are_silent(
    mft_process: Mft, install: Install
) -> None:
    site = install(
        "broken-dist", {"broken": "broken_plugin"}, {"broken_plugin": "import nothing_of_this_name"}
    )
    for line in ("mft plugins show nothing x", "mft plugins show loss zzz"):
        done = mft_process(sites=(site,), MFT_BLOCK_PLUGINS="unknown", **asked("bash", line))
        assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


def test_it_is_light(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in asked("bash", "mft plugins show loss t").items():
        monkeypatch.setenv(name, value)
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "[]")
    assert "task-focal" in done.stdout


def test_bash_itself_completes(tmp_path: Path, mft_process: Mft) -> None:
    """What --install-completion writes, sourced by a real bash, with ``mft`` on its path."""
    home = {"HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = mft_process("--install-completion", "bash", **home)
    assert done.returncode == 0, done.stderr
    (script,) = (tmp_path / ".bash_completions").glob("*.sh")
    command = tmp_path / "mft"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mftkit.cli "$@"\n')
    command.chmod(0o755)
    ask = (
        f'source "{script}"; COMP_WORDS=(mft plugins show balancer e); COMP_CWORD=4; '
        f'_mft_completion "{command}"; echo "${{COMPREPLY[@]}}"'
    )
    shown = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=False)
    assert shown.stdout.split() == ["equal"], shown.stderr
