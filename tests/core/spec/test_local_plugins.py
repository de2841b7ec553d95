"""The ``plugins`` of a spec: what each spec sees, and what is wrong with them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import mftkit
from mftkit.plugins import installed, kinds
from mftkit.spec.schema import json_schema

SOURCE = """
import mftkit

@mftkit.hookimpl
def register_losses(register):
    register("{name}", Mine, summary="mine")

class Mine(mftkit.Loss):
    class Options(mftkit.Options):
        {option}: float = 1.0

    def statistics(self, tokens): ...
    def task_losses(self, totals): ...
"""
SPEC = {"name": "a", "model": {"path": "org/model"}, "tasks": [{"name": "t", "train": ["rows.jsonl"]}]}


class NotebookLoss(mftkit.Loss):
    """Made in Python.

    More words.
    """

    def statistics(self, tokens: mftkit.Tokens) -> Any: ...

    def task_losses(self, totals: mftkit.Totals) -> Any: ...


@pytest.fixture(autouse=True)
def only_what_is_installed() -> Any:
    yield
    installed.select_plugins(())
    for name in [name for name in sys.modules if name.startswith("mftkit_file_")]:
        del sys.modules[name]


def write(path: Path, name: str = "mine", option: str = "one") -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(SOURCE.format(name=name, option=option))
    return path


def options_of(spec: Any) -> Any:
    with installed.using_plugins(spec.plugins):
        return set(installed.component_class(kinds.LOSS, spec.loss.name).Options.model_fields)


def test_paths_are_relative_to_the_spec_and_options_are_checked(tmp_path: Path) -> None:
    write(tmp_path / "code" / "loss.py")
    file = tmp_path / "spec.json"
    file.write_text(
        json.dumps({**SPEC, "plugins": ["code/loss.py"], "loss": {"name": "mine", "options": {"one": 2}}})
    )
    spec = mftkit.load_spec(file)
    assert spec.dump()["plugins"] == [str(tmp_path / "code" / "loss.py")]
    assert spec.loss.options == {"one": 2.0}
    assert mftkit.load_spec(spec.dump()).dump() == spec.dump()
    with pytest.raises(mftkit.MftError, match=r'loss\.options\.two: unknown key .*allowed: "one"'):
        mftkit.load_spec(file, ['loss.options={"two": 2}'])
    with_it = json.dumps(json_schema(lambda _: None))
    mftkit.load_spec(SPEC)
    assert '"mine"' in with_it
    assert '"mine"' not in json.dumps(json_schema(lambda _: None))


def test_specs_of_one_process_have_their_own_plugins(tmp_path: Path) -> None:
    one = mftkit.load_spec({**SPEC, "plugins": [str(write(tmp_path / "a" / "loss.py"))], "loss": "mine"})
    two = mftkit.load_spec(
        {**SPEC, "plugins": [str(write(tmp_path / "b" / "loss.py", option="two"))], "loss": "mine"}
    )
    write(tmp_path / "a" / "loss.py", option="six")
    three = mftkit.load_spec({**SPEC, "plugins": [str(tmp_path / "a" / "loss.py")], "loss": "mine"})
    assert [options_of(spec) for spec in (one, two, three)] == [{"one"}, {"two"}, {"six"}]
    with pytest.raises(mftkit.MftError, match='unknown loss .given: "mine"'):
        mftkit.load_spec({**SPEC, "loss": "mine"})
    assert options_of(one) == {"one"}


@pytest.mark.parametrize(
    ("plugins", "message"),
    [
        (["none.py"], r"plugins\.0: .*/none\.py: no such file"),
        (["bad.py"], r"plugins\.0: .*/bad\.py:1: ZeroDivisionError: division by zero"),
        (["mine.py", "./mine.py"], r"plugins\.1: .*/mine\.py is named twice"),
        (
            ["clash.py"],
            r'plugins\.0: the loss "mixed" of .*/clash\.py is also registered by mftkit .*"losses"',
        ),
        ("mine.py", r"plugins: should be a list of paths"),
        ([1], r"plugins\.0: should be a path, a module, a class or a function, not int"),
        (["python:test.Lost"], r"plugins\.0: python:test\.Lost was given in Python: pass it again"),
    ],
)
def test_what_is_wrong_is_one_message_beside_the_others(plugins: Any, message: str, tmp_path: Path) -> None:
    write(tmp_path / "mine.py")
    write(tmp_path / "clash.py", "mixed")
    (tmp_path / "bad.py").write_text("1 / 0")
    with pytest.raises(mftkit.MftError, match=f"(?s){message}.*max_length|max_length.*{message}"):
        mftkit.load_spec({**SPEC, "plugins": plugins, "max_length": 0}, directory=tmp_path)


def test_plugins_given_in_python(tmp_path: Path) -> None:
    @mftkit.hookimpl
    def register_balancers(register: mftkit.Register) -> None:
        register("given", "mftkit_plugins.balancers.equal:Equal", summary="a hook alone")

    given = [NotebookLoss, register_balancers, write(tmp_path / "mine.py")]
    spec = mftkit.load_spec({**SPEC, "loss": "notebook-loss", "balancer": "given"}, plugins=given)
    assert [plugin.name.rpartition(".")[2] for plugin in spec.plugins] == [
        "NotebookLoss",
        "register_balancers",
        "py",
    ]
    row = next(row for row in installed.registry().plugins if row.name == "notebook-loss")
    assert (row.summary, row.distribution) == ("Made in Python.", f"python:{__name__}.NotebookLoss")
    again = mftkit.load_spec(spec.dump(), plugins=given)
    assert again.plugins == spec.plugins
    assert mftkit.load_spec(spec.dump()).plugins == spec.plugins


def test_a_missing_file_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(mftkit.MftError) as raised:
        mftkit.load_spec({**SPEC, "plugins": ["none.py"], "loss": "mine"}, directory=tmp_path)
    assert str(raised.value) == f"spec: plugins.0: {tmp_path / 'none.py'}: no such file"
