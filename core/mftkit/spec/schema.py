"""The JSON Schema of a spec, with the options of every installed component in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mftkit.interfaces.component import Options
from mftkit.interfaces.references import AUTO
from mftkit.plugins import installed, kinds
from mftkit.spec.references import KIND_KEY
from mftkit.spec.spec import Spec
from mftkit_registry import MftError, find_kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from mftkit.interfaces.component import Component
    from mftkit_registry import Kind, Registration, Registry

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(tell: Callable[[str], None]) -> dict[str, Any]:
    """The schema of a spec file; an installed component that cannot be used is told, and left out."""
    schema = Spec.model_json_schema()
    definitions = schema.pop("$defs")
    places = _Places(installed.registry(), tell)
    schema = places.filled(schema)
    definitions = places.filled(definitions)
    schema["required"] = [key for key in schema["required"] if key not in ("name", "output")]
    return {"$schema": DIALECT, **schema, "$defs": {**definitions, **places.definitions}}


class _Places:
    """Fills the places of components, collecting the definitions that their options need."""

    def __init__(self, registry: Registry, tell: Callable[[str], None]) -> None:
        self.registry = registry
        self.tell = tell
        self.definitions: dict[str, Any] = {}

    def filled(self, node: Any) -> Any:
        """``node`` with each place of a component replaced by what may stand there."""
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
        """Whether "auto" may stand for a name."""
        return AUTO in kind.reserved

    def _default(self, kind: Kind[Component]) -> str | None:
        try:
            return self.registry.default(kind)
        except MftError:  # two claim it: a spec has to name one
            return None

    def _choices(self, kind: Kind[Component]) -> list[dict[str, Any]]:
        """The bare names, and an object for each component."""
        names = list(self.registry.names(kind))
        objects = [self._object(self.registry.get(kind, name)) for name in names]
        bare = [AUTO, *names] if self._chosen(kind) else names
        return [{"enum": bare}, *(found for found in objects if found is not None)]

    def _object(self, registration: Registration[Component]) -> dict[str, Any] | None:
        prefix = f"{registration.kind}.{registration.name}."
        try:
            model = installed.class_of(registration).Options
            options = model.model_json_schema(ref_template=f"#/$defs/{prefix}{{model}}")
        except Exception as error:  # a stranger's model may have no JSON Schema
            self.tell(f'{registration.kind} "{registration.name}" is left out of the schema: {error}')
            return None
        definitions = options.pop("$defs", {})
        options, definitions = self.filled(options), self.filled(definitions)
        self.definitions.update({prefix + name: definition for name, definition in definitions.items()})
        options.pop("title", None)
        if model is Options:  # the base describes itself, not a component
            options.pop("description", None)
        return _as_it_stands(registration, options)


def _as_it_stands(registration: Registration[Component], options: dict[str, Any]) -> dict[str, Any]:
    """The object that names the component: with ``options`` in it, or beside the name for a tuning."""
    name = {"const": registration.name, "description": registration.summary}
    if registration.kind == kinds.TUNING.name:
        return {**options, "properties": {"method": name, **options.get("properties", {})}}
    return {
        "type": "object",
        "properties": {"name": name, "options": options},
        "required": ["name", *(["options"] if options.get("required") else [])],
        "additionalProperties": False,
    }
