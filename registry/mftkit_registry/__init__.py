"""Plugin host: entry points, typed registries, provenance. Knows nothing of training."""

from mftkit_registry.errors import (
    BrokenComponentError,
    ConflictError,
    MftError,
    MftWarning,
    UnknownComponentError,
    UnknownKindError,
)
from mftkit_registry.kinds import Kind, find_kind
from mftkit_registry.local import LocalPlugin
from mftkit_registry.markers import Register, hookimpl, hookspec, registration_hook
from mftkit_registry.nearest import nearest
from mftkit_registry.records import PluginRecord, Registration, import_object
from mftkit_registry.registry import Registry
from mftkit_registry.tracing import traced

__all__ = [
    "BrokenComponentError",
    "ConflictError",
    "Kind",
    "LocalPlugin",
    "MftError",
    "MftWarning",
    "PluginRecord",
    "Register",
    "Registration",
    "Registry",
    "UnknownComponentError",
    "UnknownKindError",
    "find_kind",
    "hookimpl",
    "hookspec",
    "import_object",
    "nearest",
    "registration_hook",
    "traced",
]
