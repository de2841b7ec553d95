"""The program's plugins: the registry of what is installed, and components made of what a spec names."""

from __future__ import annotations

import os
import warnings
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from mftkit.plugins import hookspecs
from mftkit.plugins.kinds import KINDS
from mftkit_registry import BrokenComponentError, MftError, MftWarning, Registration, Registry

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.interfaces.component import Component, TaskInfo
    from mftkit_registry import Kind


@cache
def registry() -> Registry:
    """All installed plugins but those that MFT_BLOCK_PLUGINS names; loaded once in a process."""
    names = os.environ.get("MFT_BLOCK_PLUGINS", "").split(",")
    blocked = [name.strip() for name in names if name.strip()]
    loaded = Registry.load(KINDS, [hookspecs], blocked=blocked)
    for message in loaded.warnings:
        warnings.warn(message, MftWarning, stacklevel=2)
    return loaded


def component_class(registration: Registration) -> type[Component]:
    """The component's class. Raises BrokenComponentError where it, or its ``Options``, is none."""
    found: type[Component] = registration.resolve()
    if not (isinstance(found.Options, type) and issubclass(found.Options, BaseModel)):
        raise BrokenComponentError(
            f'{registration.kind} "{registration.name}" of {registration.origin}: its Options is not a '
            f"subclass of mftkit.Options; mend it in {registration.distribution}"
        )
    return found


def those_that(kind: Kind | str, promise: str) -> str:
    """For messages: the components of a kind whose class attribute ``promise`` is true."""
    names = []
    for name in registry().names(kind):
        try:
            if getattr(component_class(registry().get(kind, name)), promise):
                names.append(f'"{name}"')
        except MftError:  # a broken one promises nothing
            continue
    told = kind if isinstance(kind, str) else kind.name
    return f"those that do: {', '.join(names)}" if names else f"no {told} that is installed does"


def build(
    kind: Kind | str,
    name: str,
    options: dict[str, Any],
    tasks: tuple[TaskInfo, ...] = (),
    directory: Path | None = None,
) -> Any:
    """The component ``name``, made with its options; paths in them are relative to ``directory``.

    Raises UnknownComponentError, ConflictError, BrokenComponentError, or pydantic's ValidationError for
    options that no spec has checked.
    """
    found = component_class(registry().get(kind, name))
    return found(found.Options.model_validate(options, context={"directory": directory}), tasks)
