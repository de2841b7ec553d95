"""A kind that is declared in one line works everywhere: plugins list, show, new and check, and specs and their schema."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from pydantic import Field

import mftkit
from mftkit.cli import main
from mftkit.interfaces.references import ComponentRef
from mftkit.plugins import hookspecs, installed, kinds, process_registry
from mftkit.plugins.component_kind import ComponentKind
from mftkit.spec.references import Place, named_components, unnamed
from mftkit.spec.section import Section
from mftkit.spec.spec import Spec
from mftkit.testing import Conformance
from mftkit_registry import MftError, Registry, import_object

INTERFACE = """
import mftkit
from mftkit.interfaces.component import required
from mftkit.testing import Conformance
from mftkit.testing.assertions import require

class Cadence(mftkit.Component):
    @required
    def factor(self, step):
        raise NotImplementedError

class CadenceConformance(Conformance):
    def test_factor(self):
        '''The factor is a number from 0 to 1.'''
        require(0 <= self.make().factor(1) <= 1, "factor() is not from 0 to 1")
"""
PLUGIN = """
import mftkit
from new_kind import Cadence

@mftkit.hookimpl
def register_cadences(register):
    register("steady", Steady, summary="always the same", default=True)
    register("wild", Wild, summary="too much")
    register("empty", Empty, summary="has no factor")

class Steady(Cadence):
    class Options(mftkit.Options):
        level: float = 1.0
        '''The factor.'''

    def factor(self, step):
        return self.options.level

class Wild(Cadence):
    def factor(self, step):
        return 7

class Empty(Cadence):
    pass
"""

if TYPE_CHECKING:
    from fixture_types import Install


@pytest.fixture
def cadence(install: Install, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    templates = tmp_path / "kind" / "cadence"
    templates.mkdir(parents=True)
    (templates / "component.py.jinja").write_text(
        '{%- set summary = "a cadence" -%}\nclass {{ class_name }}:\n    pass\n'
    )
    (templates / "test.py.jinja").write_text("SUITE = '{{ suite }}'\n")

    modules = {"new_kind": INTERFACE, "new_kind_steady": PLUGIN}
    install("mft-steady", {"steady": "new_kind_steady"}, modules, group="mft-new-kind")
    interface, suite = import_object("new_kind:Cadence"), "new_kind:CadenceConformance"
    kind = ComponentKind("cadence", interface, place="cadence", suite=suite, templates=templates)

    monkeypatch.setattr(kinds, "KINDS", (*kinds.KINDS, kind))
    loaded = Registry.load(kinds.KINDS, [hookspecs], group="mft-new-kind")
    for module in (process_registry, installed):
        monkeypatch.setattr(module, "registry", lambda: loaded)
    return kind


def test_list_and_show(cadence: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "list", "--kind", "cadences", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["kind"], row["name"], row["default"]) for row in rows] == [
        ("cadence", "steady", True), ("cadence", "wild", False), ("cadence", "empty", False)
    ]  # fmt: skip
    assert main(["plugins", "show", "Cadence", "steady"]) == 0
    assert "The factor." in capsys.readouterr().out


def test_check(cadence: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "check", "steady"]) == 0
    assert "The factor is a number from 0 to 1." in capsys.readouterr().out
    assert main(["plugins", "check", "wild"]) == 1
    assert "factor() is not from 0 to 1" in capsys.readouterr().out
    assert main(["plugins", "check", "empty"]) == 2
    assert "factor() is missing" in capsys.readouterr().err


def test_new(cadence: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "new", "warm", "--kind", "cadence", "--directory", str(tmp_path / "new")]) == 0
    front = (tmp_path / "new" / "mft_warm" / "__init__.py").read_text()
    assert "def register_cadences(register):" in front
    assert '"mft_warm.cadence:WarmCadence"' in front
    assert 'summary="a cadence"' in front
    assert runpy.run_path(str(tmp_path / "new/tests/test_warm.py"))["SUITE"] == "CadenceConformance"
    assert '`"cadence": "warm"`' in (tmp_path / "new" / "README.md").read_text()


def test_in_a_spec(cadence: Any) -> None:
    kind = cadence

    class WithCadence(Section):
        cadence: Annotated[ComponentRef, Place(kind)] = Field(default_factory=unnamed)

    spec = WithCadence.model_validate({})
    assert spec.cadence == ComponentRef(name="steady", options={"level": 1.0})
    spec = WithCadence.model_validate({"cadence": {"name": "steady", "options": {"level": 0.5}}})
    assert [(known.name, ref.options) for known, ref in named_components(spec)] == [
        ("cadence", {"level": 0.5})
    ]
    with pytest.raises(ValueError, match="unknown cadence"):
        WithCadence.model_validate({"cadence": "stedy"})
    assert WithCadence.model_json_schema()["properties"]["cadence"]["x-mft-kind"] == "cadence"
    assert installed.build(kind, "steady", {"level": 0.25}).factor(1) == 0.25
    assert mftkit.build_component(kind.interface, "steady").factor(1) == 1.0


def test_without_templates_the_message_names_the_kinds_that_have_some(
    cadence: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = ComponentKind("cadence", cadence.interface, place="cadence")
    monkeypatch.setattr(kinds, "KINDS", (bare,))
    from mftkit.tools.scaffold import new_package

    with pytest.raises(MftError, match=r"no template for cadence; known: .*\"loss\""):
        new_package("warm", "cadence", tmp_path / "new")


@pytest.mark.parametrize("kind", kinds.KINDS, ids=lambda kind: kind.name)
def test_what_a_kind_names_is_there(kind: Any) -> None:
    assert getattr(mftkit, kind.interface.__name__) is kind.interface
    assert issubclass(import_object(kind.suite), Conformance)
    assert hasattr(hookspecs, kind.hook)
    assert kind.interface.__name__ in getattr(hookspecs, kind.hook).__doc__


def test_the_places_of_the_kinds_are_those_of_the_spec() -> None:
    schema = Spec.model_json_schema()
    found: list[tuple[str, str]] = []

    def walk(node: Any, path: Any) -> None:
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rpartition("/")[2]]
        if "x-mft-kind" in node:
            found.append((node["x-mft-kind"], path))
        for name, part in node.get("properties", {}).items():
            walk(part, f"{path}.{name}".lstrip("."))
        for part in (*node.get("anyOf", ()), *node.get("allOf", ())):
            walk(part, path)
        if "items" in node:
            walk(node["items"], f"{path}[]")

    walk(schema, "")
    assert sorted(found) == sorted(
        (kind.name, place) for kind in kinds.KINDS if not kind.is_option for place in kind.places
    )
