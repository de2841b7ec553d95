"""The JSON Schema of a spec, with the options of every installed component in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mftkit.interfaces import AUTO
from mftkit.interfaces.component import Options
from mftkit.plugins import installed, kinds
from mftkit.spec.references import KIND_KEY
from mftkit.spec.spec import Spec
from mftkit_registry import MftError, find_kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from mftkit.base.json_types import JsonObject
    from mftkit.interfaces.component import Component
    from mftkit_registry import Kind, Registration, Registry

DIALECT = "https://json-schema.org/draft/2020-12/schema"
IDENTITY = "urn:mftkit:schema:spec"
"""The ``$id`` of the schema."""
SHIPPED = Path(__file__).with_name("schema.json")
"""The schema with the built-in components, as ``mft spec schema --built-in`` prints it."""
DISTRIBUTION = "mftkit"


def json_schema(warn: Callable[[str], None], *, built_in: bool = False) -> JsonObject:
    """Return the schema of a spec file, with the components that are installed.

    Args:
        warn: is called for each component that is left out because it cannot be loaded.
        built_in: leave out the components of other packages.
    """
    schema = Spec.model_json_schema()
    definitions = schema.pop("$defs")
    places = _Places(installed.registry(), warn, built_in=built_in)
    schema = places.filled(schema)
    definitions = places.filled(definitions)
    schema["required"] = [key for key in schema["required"] if key not in ("name", "output")]
    return {"$schema": DIALECT, "$id": IDENTITY, **schema, "$defs": {**definitions, **places.definitions}}


class _Places:
    """Fills the places of components, and collects the definitions that their options need."""

    def __init__(self, registry: Registry, warn: Callable[[str], None], *, built_in: bool) -> None:
        self.built_in = built_in
        self.registry = registry
        self.warn = warn
        self.definitions: JsonObject = {}

    def filled(self, node: Any) -> Any:
        """Return ``node`` with each component's place replaced by what is allowed there."""
        if isinstance(node, list):
            return [self.filled(item) for item in node]
        if not isinstance(node, dict):
            return node
        if KIND_KEY not in node:
            return {key: self.filled(value) for key, value in node.items()}
        kind = find_kind(kinds.KINDS, node[KIND_KEY])
        rest = {key: value for key, value in node.items() if key not in (KIND_KEY, "default")}
        default = AUTO if self._chosen(kind) else self._default(kind)
        return {**rest, "anyOf": self._choices(kind), **({} if default is None else {"default": default})}

    def _chosen(self, kind: Kind[Component]) -> bool:
        """Return True if "auto" is allowed instead of a name."""
        return AUTO in kind.reserved

    def _default(self, kind: Kind[Component]) -> str | None:
        try:
            return self.registry.default(kind)
        except MftError:  # two components claim to be the default: a spec has to name one
            return None

    def _choices(self, kind: Kind[Component]) -> list[JsonObject]:
        """Return the names, and an object for each component."""
        names = [name for name in self.registry.names(kind) if self._is_shown(kind, name)]
        objects = [self._object(self.registry.get(kind, name)) for name in names]
        bare = [AUTO, *names] if self._chosen(kind) else names
        return [{"enum": bare}, *(found for found in objects if found is not None)]

    def _is_shown(self, kind: Kind[Component], name: str) -> bool:
        return not self.built_in or self.registry.get(kind, name).distribution == DISTRIBUTION

    def _object(self, registration: Registration[Component]) -> JsonObject | None:
        prefix = f"{registration.kind}.{registration.name}."
        try:
            model = installed.class_of(registration).Options
            options = model.model_json_schema(ref_template=f"#/$defs/{prefix}{{model}}")
        except Exception as error:  # not every type in a plugin's model has a JSON Schema
            self.warn(f'{registration.kind} "{registration.name}" is left out of the schema: {error}')
            return None
        definitions = options.pop("$defs", {})
        options, definitions = self.filled(options), self.filled(definitions)
        self.definitions.update({prefix + name: definition for name, definition in definitions.items()})
        options.pop("title", None)
        if model is Options:  # its description is that of the base class, not of a component
            options.pop("description", None)
        return _as_written(registration, options)


def _as_written(registration: Registration[Component], options: JsonObject) -> JsonObject:
    """Return the object that names the component, with ``options`` in it or, for a tuning, beside the name."""
    name = {"const": registration.name, "description": registration.summary}
    if registration.kind == kinds.TUNING.name:
        return {**options, "properties": {"method": name, **options.get("properties", {})}}
    return {
        "type": "object",
        "properties": {"name": name, "options": options},
        "required": ["name", *(["options"] if options.get("required") else [])],
        "additionalProperties": False,
    }
