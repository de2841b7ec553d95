"""Plugin host: entry points, typed registries, provenance. Knows nothing of training."""

from mftkit_registry.errors import (
    BrokenComponentError,
    ConflictError,
    MftError,
    MftWarning,
    UnknownComponentError,
    UnknownKindError,
)
from mftkit_registry.kinds import Kind
from mftkit_registry.markers import hookimpl, hookspec
from mftkit_registry.nearest import nearest
from mftkit_registry.records import PluginRecord, Registration
from mftkit_registry.registry import Registry

__all__ = [
    "BrokenComponentError",
    "ConflictError",
    "Kind",
    "MftError",
    "MftWarning",
    "PluginRecord",
    "Registration",
    "Registry",
    "UnknownComponentError",
    "UnknownKindError",
    "hookimpl",
    "hookspec",
    "nearest",
]
