"""The engines that a plan compares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.plugins import installed, kinds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mftkit.interfaces.engine import Engine
    from mftkit.spec import Spec


def engines_of(spec: Spec) -> Mapping[str, Engine]:
    """Every installed engine by name, that of the spec first and with the spec's options, the others with defaults."""
    names = sorted(
        installed.registry().names(kinds.ENGINE), key=lambda name: (name != spec.engine.name, name)
    )
    options = {spec.engine.name: spec.engine.options}
    return {name: installed.build(kinds.ENGINE, name, options.get(name, {})) for name in names}
