"""The engines that a plan compares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.plugins import installed, kinds
from mftkit.training.optimizer import check_engine
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mftkit.interfaces.engine import Engine
    from mftkit.spec import Spec


def engines_of(spec: Spec) -> Mapping[str, Engine]:
    """Every installed engine by name, that of the spec first and with the spec's options, the others with defaults."""
    names = sorted(
        installed.registry().names(kinds.ENGINE), key=lambda name: (name != spec.engine.name, name)
    )
    options = {spec.engine.name: spec.engine.options}
    engines = {name: installed.build(kinds.ENGINE, name, options.get(name, {})) for name in names}
    for name, engine in engines.items():
        engine.name = name
    return engines


def refusals(spec: Spec, engines: Mapping[str, Engine], devices: int, *, frozen_base: bool) -> Iterator[str]:
    """Why engines of several devices cannot use the spec's optimizer, for those that cannot."""
    ref = spec.training.optimizer
    optimizer = installed.build(kinds.OPTIMIZER, ref.name, ref.options)
    for name, engine in engines.items():
        try:
            if devices > 1:
                check_engine(ref.name, optimizer, engine, devices, frozen_base=frozen_base)
        except MftError as error:
            yield f"a run with {name} would be refused: {error}"
