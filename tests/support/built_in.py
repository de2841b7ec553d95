"""Conformance of what mftkit brings itself: a class for each built-in component of a kind."""

from __future__ import annotations

from typing import Any

from mftkit.interfaces.component import Component
from mftkit.plugins import installed
from mftkit.plugins.component_kind import ComponentKind
from mftkit.testing import Conformance
from mftkit.testing.running import suite_for


def suites(kind: ComponentKind[Component], **settings: dict[str, Any]) -> dict[str, type[Conformance]]:
    """Classes for pytest to collect, one a component; ``settings`` by its name with _ for -."""
    found = {}
    for row in installed.registry().plugins:
        if row.kind == kind.name and row.distribution == "mftkit":
            component = installed.component_class(kind, row.name)
            key = row.name.replace("-", "_")
            found[f"Test_{key}"] = suite_for(kind, component, **settings.get(key, {}))
    assert found
    return found
