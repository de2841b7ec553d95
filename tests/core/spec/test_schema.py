"""The JSON Schema holds every key with a description, and each installed component's options."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mftkit.spec import SpecError, load_spec
from mftkit.spec.schema import IDENTITY, SHIPPED, json_schema

if TYPE_CHECKING:
    from fixture_types import SpecDict
    from mftkit_registry import Registry


@pytest.fixture
def schema(stand_ins: Registry) -> dict[str, Any]:
    warnings: list[str] = []
    found = json_schema(warnings.append)
    assert ["heavy" in line and "ModuleNotFoundError" in line for line in warnings] == [True]
    return found


def place(schema: dict[str, Any], key: str) -> tuple[list[str], dict[str, Any]]:
    """The bare names allowed at a component's place, and its objects by name."""
    bare, *objects = schema["properties"][key]["anyOf"]
    return bare["enum"], {
        o["properties"].get("name", o["properties"].get("method"))["const"]: o for o in objects
    }


def test_components(schema: dict[str, Any]) -> None:
    names, objects = place(schema, "loss")
    assert names == ["bent", "heavy", "square"]
    assert set(objects) == {"bent", "square"}
    options = objects["bent"]["properties"]["options"]["properties"]
    assert options["gamma"] == {"default": 2.0, "minimum": 0, "title": "Gamma", "type": "number"}
    assert objects["bent"]["additionalProperties"] is False
    assert schema["properties"]["loss"]["default"] == "square"
    assert options["inner"]["$ref"].removeprefix("#/$defs/") in schema["$defs"]


def test_a_tunings_options_stand_beside_its_method(schema: dict[str, Any]) -> None:
    _, objects = place(schema, "tuning")
    assert set(objects["part"]["properties"]) == {"method", "rank"}


def test_required_options(schema: dict[str, Any]) -> None:
    generator = schema["$defs"]["TaskSpec"]["properties"]["generator"]
    component = next(choice for choice in generator["anyOf"] if "anyOf" in choice)
    (maker,) = component["anyOf"][1:]
    assert maker["required"] == ["name", "options"]
    assert maker["properties"]["options"]["required"] == ["count"]


def test_what_is_required(schema: dict[str, Any]) -> None:
    assert schema["required"] == ["model", "tasks"]


def test_every_key_is_described(schema: dict[str, Any]) -> None:
    ours = {"spec": schema, **{k: v for k, v in schema["$defs"].items() if "." not in k}}
    bare = [
        f"{name}.{key}"
        for name, definition in ours.items()
        for key, value in definition.get("properties", {}).items()
        if not value.get("description") and "$ref" not in value
    ]
    assert bare == []


def test_every_reference_leads_somewhere(schema: dict[str, Any]) -> None:
    def references(node: Any) -> list[str]:
        if isinstance(node, list):
            return [ref for item in node for ref in references(item)]
        if not isinstance(node, dict):
            return []
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [ref for value in node.values() for ref in references(value)]

    found = references(schema)
    assert found
    assert {ref.removeprefix("#/$defs/") for ref in found} <= set(schema["$defs"])


def test_no_marks_are_left(schema: dict[str, Any]) -> None:
    assert "x-mft" not in repr(schema)


@pytest.mark.parametrize("key", ["train", "valid"])
def test_a_data_set_is_described_alone_and_in_a_list(schema: dict[str, Any], key: str) -> None:
    choices = schema["$defs"]["TaskSpec"]["properties"][key]["anyOf"]
    (alone,) = [choice for choice in choices if "dataset" in choice.get("properties", ())]
    (several,) = [choice for choice in choices if choice["type"] == "array"]
    assert several["items"]["anyOf"][1] == alone
    assert list(alone["properties"]) == ["dataset", "split", "name", "revision", "data_files"]
    assert all(value["description"] for value in alone["properties"].values())
    assert (alone["required"], alone["additionalProperties"]) == (["dataset"], False)


PINNED = f"pydantic=={version('pydantic')}\n" in (Path(__file__).parents[3] / "constraints.txt").read_text()


@pytest.mark.skipif(not PINNED, reason="other versions of pydantic write the same schema in other words")
def test_the_shipped_schema_has_the_built_in_components() -> None:
    """If this fails, write it again: mft spec schema --built-in > core/mftkit/spec/schema.json."""
    warnings: list[str] = []
    assert json.loads(SHIPPED.read_text("utf-8")) == json_schema(warnings.append, built_in=True)
    assert warnings == []


def test_a_spec_may_name_its_schema(
    stand_ins: Registry, spec_dict: SpecDict, schema: dict[str, Any], tmp_path: Path
) -> None:
    assert schema["$id"] == IDENTITY
    assert schema["properties"]["$schema"]["anyOf"][0] == {"type": "string"}
    with_schema = load_spec({"$schema": "https://example.org/spec.json", **spec_dict()}, directory=tmp_path)
    assert with_schema.dump() == load_spec(spec_dict(), directory=tmp_path).dump()
    with pytest.raises(SpecError, match=r"\$schema: should be a valid string"):
        load_spec({"$schema": 1, **spec_dict()}, directory=tmp_path)
