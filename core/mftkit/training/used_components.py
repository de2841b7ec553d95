"""The components that a run uses, and the distributions that they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from mftkit.chat_client.cache_key import chat_refs
from mftkit.interfaces import AUTO
from mftkit.plugins import installed, kinds
from mftkit.spec.references import named_components

if TYPE_CHECKING:
    from mftkit.interfaces.component import Component
    from mftkit.spec import Spec
    from mftkit_registry import Registration


class UsedComponent(TypedDict):
    """One component, as environment.json has it."""

    kind: str
    name: str
    distribution: str
    version: str


def used_components(spec: Spec, adapter: str) -> list[UsedComponent]:
    """Each component that the spec names, and the model adapter, each once."""
    return [
        {
            "kind": component.kind,
            "name": component.name,
            "distribution": component.distribution,
            "version": component.version,
        }
        for component in used_registrations(spec, adapter)
    ]


def used_registrations(spec: Spec, adapter: str | None) -> list[Registration[Component]]:
    """Each component that the spec names, and the model adapter if it is known, each once."""
    registry = installed.registry()
    named = [
        (kind, adapter or ref.name if kind is kinds.MODEL_ADAPTER else ref.name)
        for kind, ref in named_components(spec)
    ]
    found = [registry.get(kind, name) for kind, name in named if name != AUTO or AUTO not in kind.reserved]
    found += [registry.get(kinds.CHAT_MODEL, name) for name in _chat_models(spec)]
    return list(dict.fromkeys(found))


def _chat_models(spec: Spec) -> list[str]:
    """The chat models that the tasks' generators ask, those of validation rows included."""
    generators = [
        installed.build(kinds.DATA_GENERATOR, ref.name, ref.options)
        for task in spec.tasks
        for ref in (task.generator, task.valid_generator)
        if ref is not None
    ]
    return [ref.name for generator in generators for ref in chat_refs(generator.options)]
