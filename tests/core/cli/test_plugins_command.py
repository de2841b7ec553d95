"""``mft plugins``, over real distributions in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from fixture_types import Install, Mft, Rows

DESIGN_EXAMPLE = """
    import mftkit

    @mftkit.hookimpl
    def register_losses(register):
        register("token-square", TokenSquare, summary="squares each token's loss before the task mean")

    class TokenSquare(mftkit.Loss):
        linear = True
        class Options(mftkit.Options):
            scale: float = 1.0
            '''Multiplies the loss.'''

        def statistics(self, tokens): ...
        def task_losses(self, totals): ...
"""


def test_a_strangers_plugin_is_listed_with_its_distribution(install: Install, rows: Rows) -> None:
    site = install("mft-tokensquare", {"tokensquare": "mft_tokensquare"}, {"mft_tokensquare": DESIGN_EXAMPLE})
    assert rows(site)["token-square"] == {
        "kind": "loss",
        "name": "token-square",
        "summary": "squares each token's loss before the task mean",
        "distribution": "mft-tokensquare",
        "version": "1.0",
        "entry_point": "tokensquare",
        "status": "ok",
        "error": None,
        "default": False,
        "sha256": None,
    }


def test_broken_blocked_and_right_side_by_side(install: Install, rows: Rows, tmp_path: Path) -> None:
    site = install("mft-tokensquare", {"tokensquare": "mft_tokensquare"}, {"mft_tokensquare": DESIGN_EXAMPLE})
    install("broken-dist", {"broken": "broken_plugin"}, {"broken_plugin": "import nothing_of_this_name"})
    nosy = f"import pathlib; pathlib.Path({str(tmp_path / 'imported')!r}).touch()"
    install("nosy-dist", {"nosy": "nosy_plugin"}, {"nosy_plugin": nosy})
    listed = rows(site, MFT_BLOCK_PLUGINS=" nosy, nothing ,")
    assert listed["token-square"]["status"] == "ok"
    assert listed["broken"]["status"] == "error"
    assert "nothing_of_this_name" in listed["broken"]["error"]
    assert listed["broken"]["distribution"] == "broken-dist"
    assert listed["nosy"]["status"] == "blocked"
    assert not (tmp_path / "imported").exists()


def test_a_blocked_name_that_matches_nothing_is_reported(mft: Mft) -> None:
    done = mft("plugins", "list", MFT_BLOCK_PLUGINS="no-such-plugin")
    assert done.returncode == 0
    assert done.stderr.startswith('warning: MFT_BLOCK_PLUGINS: no entry point is named "no-such-plugin"')


def test_a_clash_is_reported_where_it_is_used(install: Install, mft: Mft, rows: Rows, tmp_path: Path) -> None:
    site = install("mft-tokensquare", {"tokensquare": "mft_tokensquare"}, {"mft_tokensquare": DESIGN_EXAMPLE})
    install("other-square", {"other": "other_square"}, {"other_square": DESIGN_EXAMPLE})
    assert rows(site)["token-square"]["status"] == "conflict"
    spec = {"model": {"path": "o/m"}, "tasks": [{"name": "a", "train": "a"}], "loss": "token-square"}
    (tmp_path / "s.json").write_text(json.dumps(spec))
    done = mft("spec", "check", "s.json", sites=(site,))
    assert done.returncode == 2
    for part in ("loss.name", "mft-tokensquare 1.0", "other-square 1.0", "MFT_BLOCK_PLUGINS"):
        assert part in done.stderr
    shown = mft("plugins", "show", "loss", "token-square", sites=(site,), MFT_BLOCK_PLUGINS="other")
    assert "mft-tokensquare 1.0" in shown.stdout, "blocking one of them resolves it"


def test_the_table_is_plain_and_whole(install: Install, mft: Mft) -> None:
    long = "squares " * 60
    source = DESIGN_EXAMPLE.replace("squares", long)
    site = install("mft-tokensquare", {"tokensquare": "mft_tokensquare"}, {"mft_tokensquare": source})
    done = mft("plugins", "list", sites=(site,), COLUMNS="40")
    assert done.returncode == 0
    assert done.stdout.splitlines()[0].split() == [
        "kind", "name", "summary", "distribution", "version", "status", "error"
    ]  # fmt: skip
    assert long.strip() in done.stdout
    assert "\x1b" not in done.stdout


def test_one_kind(install: Install, mft: Mft) -> None:
    site = install("mft-tokensquare", {"tokensquare": "mft_tokensquare"}, {"mft_tokensquare": DESIGN_EXAMPLE})
    install("broken-dist", {"broken": "broken_plugin"}, {"broken_plugin": "1 / 0"})
    done = mft("plugins", "list", "--kind", "Losses", "--json", sites=(site,))
    assert {row["kind"] for row in json.loads(done.stdout)} == {"loss"}
    assert "broken" in done.stderr, "what may be of that kind is told"
    wrong = mft("plugins", "list", "--kind", "lose")
    assert wrong.returncode == 2
    assert 'did you mean "loss"?' in wrong.stderr


def test_show(install: Install, mft: Mft) -> None:
    site = install("mft-tokensquare", {"tokensquare": "mft_tokensquare"}, {"mft_tokensquare": DESIGN_EXAMPLE})
    done = mft("plugins", "show", "loss", "token-square", sites=(site,))
    assert done.returncode == 0, done.stderr
    assert "mft-tokensquare 1.0" in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("scale")]
    assert line.split() == ["scale", "number", "1.0", "Multiplies", "the", "loss."]


def test_show_what_is_not_there(mft: Mft) -> None:
    done = mft("plugins", "show", "loss", "token-sqare")
    assert (done.returncode, done.stdout) == (2, "")
    assert 'unknown loss "token-sqare"; allowed: ' in done.stderr


def test_callbacks_are_listed(install: Install, rows: Rows) -> None:
    source = "import mftkit\n@mftkit.hookimpl\ndef on_step_end(step): ...\n"
    site = install("mft-watch", {"watch": "mft_watch"}, {"mft_watch": source})
    assert rows(site)["watch"]["kind"] == "callbacks"
    assert rows(site)["watch"]["summary"] == "listens to on_step_end"


WITHOUT_TYPER = (
    "import sys, atexit\n"
    "atexit.register(lambda: sys.stderr.write(str([m for m in ('typer', 'pydantic') if m in sys.modules])))\n"
    "from mftkit.cli import main\n"
    "sys.exit(main(['plugins', 'list']))\n"
)
BY_TYPER = "from mftkit.cli.app import with_commands; with_commands()(['plugins', 'list'])"


def test_the_list_without_typer_is_that_of_the_command() -> None:
    light, plain = (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        for code in (WITHOUT_TYPER, BY_TYPER)
    )
    assert (light.returncode, light.stderr) == (0, "[]")
    assert "token-balanced" in light.stdout
    assert light.stdout == plain.stdout
