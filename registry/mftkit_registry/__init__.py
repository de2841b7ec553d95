"""Plugin host: entry points, typed registries, provenance. Knows nothing of training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit_registry.errors import (
    BrokenComponentError,
    ConflictError,
    MftError,
    MftWarning,
    UnknownComponentError,
    UnknownKindError,
)
from mftkit_registry.importing import import_object
from mftkit_registry.kinds import Kind, find_kind
from mftkit_registry.markers import Register, hookimpl, hookspec, registration_hook
from mftkit_registry.nearest import nearest
from mftkit_registry.records import PluginRecord, Registration
from mftkit_registry.tracing import traced

if TYPE_CHECKING:
    from mftkit_registry.local import LocalPlugin
    from mftkit_registry.registry import Registry

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

_LATE = {"Registry": "mftkit_registry.registry:Registry", "LocalPlugin": "mftkit_registry.local:LocalPlugin"}
"""What reads metadata or files is imported on first use: a start that needs no plugin does without."""


def __getattr__(name: str) -> object:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found = import_object(_LATE[name])
    return found
