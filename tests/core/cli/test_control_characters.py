"""No command prints control characters, whatever stands in files, names and arguments."""

from __future__ import annotations

import io
import json
import warnings
from typing import TYPE_CHECKING

import pytest

from mftkit.base.formatting import escaped_json
from mftkit.cli.chat import _write
from mftkit.cli.console import result, show_message
from mftkit.cli.entry import main
from mftkit.display.plain import write

if TYPE_CHECKING:
    from pathlib import Path

    from fixture_types import Mft

HOSTILE = "a\x1b[31m\x9b2J\u202ered\x07"
"""An escape sequence, one that begins with a C1 control, a change of the writing direction, and the bell."""
OUTSIDE = f"{HOSTILE}\x7f\x00\r\u2066\ud800[red]\x1b]8;;http://x\x07"
"""More that no file name may have: half a surrogate pair, a link, and markup."""
FILE = "rows\x1b[1m\u202e.jsonl"


def controls(text: str) -> set[str]:
    return {c for c in text if not c.isprintable() and c not in "\n\t"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    row = {"id": HOSTILE, HOSTILE: 1, "data_name": HOSTILE, "prompt": HOSTILE, "answer": HOSTILE}
    (tmp_path / FILE).write_text(json.dumps(row, ensure_ascii=False) + "\n")
    (tmp_path / "bad.jsonl").write_text(f'{{"prompt": "{HOSTILE}"}}\n{HOSTILE}\n')
    tasks = [{"name": "a\u202e", "train": [FILE, f"no{FILE}", "bad.jsonl"], "valid": 0}]
    model = {"path": f"./{HOSTILE}"}
    (tmp_path / "spec.json").write_text(json.dumps({"name": "x\u202e", "model": model, "tasks": tasks}))
    (tmp_path / "wrong.json").write_text(
        json.dumps({"name": "x", HOSTILE: HOSTILE, "tasks": [{"name": HOSTILE}]})
    )
    (tmp_path / "config.json").write_text(json.dumps({"model_name_or_path": HOSTILE, HOSTILE: HOSTILE}))
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["run", "--help"],
        [HOSTILE],
        ["run", f"--{HOSTILE}"],
        ["run", HOSTILE],
        ["run", "spec.json", "--set", HOSTILE],
        ["run", "spec.json", "--set", f"tasks.0.{HOSTILE}={HOSTILE}"],
        ["spec", "check", "spec.json"],
        ["spec", "check", "spec.json", "--json"],
        ["spec", "check", "wrong.json"],
        ["spec", "new", "--data", FILE, "--model", HOSTILE],
        ["spec", "import", "trl", "config.json", "--output", "made.yaml"],
        ["data", "stats", FILE],
        ["data", "stats", FILE, "--json"],
        ["data", "stats", "bad.jsonl"],
        ["data", "show", FILE],
        ["data", "show", FILE, "--json"],
        ["generate", "spec.json", "--task", HOSTILE],
        ["cache", "list", "--cache", HOSTILE],
        ["plugins", "list"],
        ["plugins", "show", "loss", HOSTILE],
        ["plugins", "check", f"{HOSTILE}.py"],
        ["plugins", "new", HOSTILE, "--kind", "loss"],
        ["compare", "spec.json", "--arm", f"{HOSTILE}=1"],
        ["report", HOSTILE],
    ],
    ids=lambda arguments: " ".join(arguments).encode("ascii", "backslashreplace").decode(),
)
def test_pipes_get_plain_text(mft: Mft, project: Path, arguments: list[str]) -> None:
    done = mft(*arguments)
    assert done.returncode in (0, 2)
    assert done.stdout + done.stderr
    assert not controls(done.stdout + done.stderr)
    if "--json" in arguments:
        json.loads(done.stdout)


def test_the_message_of_a_plugin_is_escaped(mft: Mft, project: Path) -> None:
    (project / "own.py").write_text(f"raise ValueError({OUTSIDE!r})")
    (project / "plugin.json").write_text(json.dumps({"name": "x", "plugins": ["own.py"], "tasks": []}))
    done = mft("spec", "check", "plugin.json")
    assert done.returncode == 2
    assert not controls(done.stderr)
    assert r"\u2066\ud800[red]\x1b]8;;" in done.stderr


def test_a_traceback_is_escaped(mft: Mft) -> None:
    done = mft("run", HOSTILE, "--debug")
    assert "Traceback" in done.stderr
    assert not controls(done.stderr)


def test_a_page_of_a_run_with_half_a_surrogate_pair(mft: Mft, project: Path) -> None:
    run = project / "damaged"
    run.mkdir()
    (run / "metrics.jsonl").write_text(json.dumps({OUTSIDE: 1}) + "\n")
    (run / "spec.json").write_text(json.dumps({"name": f"</script>{OUTSIDE}", "tasks": []}))
    done = mft("report", "damaged")
    assert done.returncode in (0, 2)
    assert not controls(done.stdout + done.stderr)


def test_a_stream_that_lacks_characters_gets_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", stream)
    main(["--help"])
    result("\u00e9")
    stream.flush()
    assert stream.buffer.getvalue().endswith(b"\\xe9\n")


def test_every_way_to_print_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    write(stream, f"{HOSTILE}\nand")
    for show in (result, show_message, _write):
        show(f"{HOSTILE}\r\nand\n")
    shown = capsys.readouterr()
    for text in (stream.getvalue(), shown.out, shown.err):
        assert not controls(text)
        assert r"\x1b[31m\x9b2J\u202ered" in text
        assert "\nand\n" in text
    text = json.dumps({HOSTILE: "\U000e0001"}, ensure_ascii=False)
    assert json.loads(escaped_json(text)) == json.loads(text)
    assert not controls(escaped_json(text))


def test_text_of_a_model_keeps_its_joiners(capsys: pytest.CaptureFixture[str]) -> None:
    family = "\N{MAN}\u200d\N{WOMAN} a\u00a0b\tc\n"
    _write(family)
    assert capsys.readouterr().out == family


def test_warnings_of_libraries_are_escaped(mft: Mft, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def warned(*_arguments: object) -> None:
        warnings.warn(HOSTILE, UserWarning, stacklevel=1)

    monkeypatch.setattr("mftkit.cli.cache.result", warned)
    done = mft("cache", "list", "--cache", "cache")
    assert "UserWarning" in done.stderr
    assert not controls(done.stderr)
