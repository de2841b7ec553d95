"""The components that a run uses, and the distributions that they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from mftkit.chat_client.cache_key import chat_refs
from mftkit.plugins import installed, kinds

if TYPE_CHECKING:
    from mftkit.spec import Spec


class UsedComponent(TypedDict):
    """One component, as environment.json has it."""

    kind: str
    name: str
    distribution: str
    version: str


def used_components(spec: Spec, adapter: str) -> list[UsedComponent]:
    """Each component that the spec names, and the model adapter, each once."""
    named = [
        (kinds.MODEL_ADAPTER, adapter),
        (kinds.TUNING, spec.tuning.method),
        (kinds.TOKENIZATION_MODE, spec.tokenization.name),
        (kinds.LOSS, spec.loss.name),
        (kinds.BALANCER, spec.balancer.name),
        *((kinds.DATA_GENERATOR, task.generator.name) for task in spec.tasks if task.generator is not None),
        *((kinds.DATA_FILTER, used.name) for task in spec.tasks for used in task.filters),
        *((kinds.CHAT_MODEL, name) for name in _chat_models(spec)),
        *((kinds.TRACKER, tracker.name) for tracker in spec.trackers),
        *([(kinds.GRADIENT_COMBINER, spec.gradients.name)] if spec.gradients else []),
    ]
    registry = installed.registry()
    found = [
        registry.get(kind, name) for kind, name in dict.fromkeys((kind.name, name) for kind, name in named)
    ]
    return [
        {
            "kind": component.kind,
            "name": component.name,
            "distribution": component.distribution,
            "version": component.version,
        }
        for component in found
    ]


def _chat_models(spec: Spec) -> list[str]:
    """The chat models that the tasks' generators ask."""
    generators = [
        installed.build(kinds.DATA_GENERATOR, task.generator.name, task.generator.options)
        for task in spec.tasks
        if task.generator is not None
    ]
    return [ref.name for generator in generators for ref in chat_refs(generator.options)]
