"""Plugins in files: loaded like installed ones, apart from each other, with errors by file and line."""

from __future__ import annotations

import pickle
import sys
import types
from typing import TYPE_CHECKING

import pytest

from mftkit_registry import LocalPlugin, MftError, hookimpl

if TYPE_CHECKING:
    from pathlib import Path

    from fixture_types import Install, Load

LOSS = """
from mftkit_registry import hookimpl
from registry_test_host import Loss

@hookimpl
def register_losses(register):
    register("{name}", {target}, summary="{summary}")

class Mine(Loss):
    {body} = 1
"""


def write(
    path: Path, name: str = "mine", target: str = "Mine", summary: str = "mine", body: str = "a"
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(LOSS.format(name=name, target=target, summary=summary, body=body))
    return path


@pytest.fixture(autouse=True)
def nothing_left() -> object:
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_file_is_a_plugin_of_one_registry_alone(load: Load, tmp_path: Path) -> None:
    installed = load()
    loss = installed.kind("loss")
    plugin = LocalPlugin.of_file(write(tmp_path / "my loss.py"))
    more = installed.extended([plugin])
    assert installed.names(loss) == ()
    assert more.names(loss) == ("mine",)
    (row,) = more.plugins
    assert (row.distribution, row.entry_point, row.sha256) == (plugin.name, plugin.name, plugin.sha256)
    assert row.version == str(plugin.sha256)[:12]
    made = more.get(loss, "mine").resolve()
    assert pickle.loads(pickle.dumps(made)) is made
    assert more.local_errors(plugin.name) == []


def test_changed_content_is_another_plugin_and_the_same_content_the_same_module(
    load: Load, tmp_path: Path
) -> None:
    file = write(tmp_path / "one.py")
    kind = load().kind("loss")

    def loaded() -> type:
        return load().extended([LocalPlugin.of_file(file)]).get(kind, "mine").resolve()

    first = loaded()
    assert loaded() is first
    write(file, body="b")  # as long as before, in the same second
    second = loaded()
    assert hasattr(second, "b")
    assert not hasattr(second, "a")
    assert hasattr(first, "a")
    assert not list(tmp_path.glob("**/__pycache__"))


def test_two_files_of_one_name_and_a_directory(load: Load, tmp_path: Path) -> None:
    one = LocalPlugin.of_file(write(tmp_path / "a" / "same.py", "one"))
    two = LocalPlugin.of_file(write(tmp_path / "b" / "same.py", "two", target='"same:Mine"', body="c"))
    package = tmp_path / "same"
    write(package / "__init__.py", "three", target='"same.deep.loss:Mine"')
    write(package / "deep" / "loss.py", body="d")
    (package / "deep" / "__init__.py").write_text("")
    three = LocalPlugin.of_file(package)
    more = load().extended([one, two, three])
    kind = more.kind("loss")
    assert more.names(kind) == ("one", "three", "two")
    assert [next(iter({"a", "c", "d"} & vars(more.get(kind, name).resolve()).keys())) for name in more.names(kind)] == [
        "a", "d", "c"
    ]  # fmt: skip
    before = three.sha256
    (package / "deep" / "data.txt").write_text("part of it")
    assert LocalPlugin.of_file(package).sha256 != before


@pytest.mark.parametrize(
    ("source", "line", "reason"),
    [
        ("x = 1\nimport nothing_of_this_name\n", 2, "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("\n\nif:\n", 3, "SyntaxError: invalid syntax"),
        ("def f():\n    return 1 / 0\nf()\n", 2, "ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)\n", 1, "SystemExit: 3"),
        (LOSS.format(name="a b", target="Mine", summary="s", body="a"), 7, "register_losses: 'a b' is not a valid name"),
        (
            "from mftkit_registry import hookimpl\n@hookimpl\ndef register_loses(register): ...\n",
            2,
            'unknown hook "register_loses": did you mean "register_losses"?',
        ),
        ("\ndef register_losses(register): ...\n", 2, "register_losses is not marked as a hook"),
    ],
)  # fmt: skip
def test_an_error_names_file_and_line(
    source: str, line: int, reason: str, load: Load, tmp_path: Path
) -> None:
    file = tmp_path / "bad.py"
    file.write_text(source)
    more = load().extended([LocalPlugin.of_file(file)])
    (error,) = more.local_errors(str(file))
    assert error.startswith(f"{file}:{line}: {reason}")
    assert [row.status for row in more.plugins] == ["error"]


def test_what_lies_beside_a_file_needs_a_directory(load: Load, tmp_path: Path) -> None:
    (tmp_path / "shared_code.py").write_text("")
    file = tmp_path / "mine.py"
    file.write_text("import shared_code\n")
    (error,) = load().extended([LocalPlugin.of_file(file)]).local_errors(str(file))
    assert "shared_code lies beside the file: make a directory with __init__.py" in error


def test_a_name_that_another_plugin_has_is_an_error_that_names_both(
    install: Install, load: Load, tmp_path: Path
) -> None:
    load()
    source = LOSS.format(name="mine", target="Mine", summary="s", body="a")
    install("mft-other", {"other": "registry_other"}, {"registry_other": source}, group="mft-test")
    plugin, again = (LocalPlugin.of_file(write(tmp_path / name)) for name in ("a.py", "b.py"))
    assert load().extended([plugin]).local_errors(plugin.name) == [
        f'the loss "mine" of {plugin.name} is also registered by mft-other 1.0 (entry point "other"); choose another name'
    ]
    assert again.name in load().extended([plugin, again]).local_errors(plugin.name)[0]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none.py", "no such file"),
        ("text.txt", "is not a Python file"),
        ("empty", "is a directory without __init__.py"),
    ],
)
def test_what_is_no_plugin(name: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "text.txt").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(MftError, match=reason):
        LocalPlugin.of_file(tmp_path / name)


def test_objects(load: Load) -> None:
    heard: list[object] = []

    class Plugin:
        @hookimpl
        def on_start(self, run: object) -> None:
            heard.append(run)

    one, two = Plugin(), Plugin()
    first, second = (LocalPlugin.of_object(each, "test.Plugin") for each in (one, two))
    assert first != second
    assert not first.is_file
    more = load().extended([first])
    assert more.fire("on_start", run=1) == []
    assert load().fire("on_start", run=2) == []
    assert heard == [1]
    assert [row.summary for row in more.listening()] == ["listens to on_start"]
    assert LocalPlugin.of_object(types, "types").is_file


def test_calls_are_traced(load: Load, tmp_path: Path) -> None:
    lines: list[str] = []

    class Plugin:
        @hookimpl
        def on_start(self, run: object, extra: object) -> None:
            raise ValueError("no")

    registry = load(trace=lines.append)
    more = registry.extended(
        [LocalPlugin.of_file(write(tmp_path / "traced.py")), LocalPlugin.of_object(Plugin(), "Plugin")]
    )
    more.fire("on_start", run="x" * 1000, extra={"a": [1] * 100})
    assert lines[0].startswith(f"register_losses(register=register) of {tmp_path / 'traced.py'}: 0.")
    assert lines[-1].startswith("on_start(run='xxxx")
    assert "raised ValueError: no" in lines[-1]
    assert len(lines[-1]) < 200
