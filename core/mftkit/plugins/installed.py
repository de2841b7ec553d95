"""The installed plugins: the registry, and components made from the names and options in a spec."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel

from mftkit.interfaces.component import Component
from mftkit.plugins import kinds
from mftkit.plugins.compatibility import check_interface
from mftkit.plugins.process_registry import registry as registry
from mftkit_registry import BrokenComponentError, MftError, Registration

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mftkit.interfaces.component import TaskInfo
    from mftkit_registry import Kind

C = TypeVar("C", bound=Component)


registry_of, using_plugins, select_plugins = registry.of, registry.using, registry.select


def class_of(registration: Registration[C]) -> type[C]:
    """The class of a registered component.

    Raises BrokenComponentError if it, or its ``Options``, does not fit the plugin interface.
    """
    found = registration.resolve()
    if not (isinstance(found.Options, type) and issubclass(found.Options, BaseModel)):
        raise BrokenComponentError(
            f'{registration.kind} "{registration.name}" of {registration.origin}: its Options is not a '
            f"subclass of mftkit.Options; fix it in {registration.distribution}"
        )
    check_interface(found, registration)
    return found


def component_class(kind: Kind[C], name: str) -> type[C]:
    """The class of the component ``name``.

    Raises UnknownComponentError, ConflictError or BrokenComponentError.
    """
    return class_of(registry().get(kind, name))


def names_with(kind: Kind[Component], attribute: str) -> list[str]:
    """Names of the components of a kind whose class attribute ``attribute`` is true."""
    names = []
    for name in registry().names(kind):
        try:
            if getattr(component_class(kind, name), attribute):
                names.append(name)
        except MftError:  # a broken one states nothing
            continue
    return names


def those_that(kind: Kind[Component], attribute: str) -> str:
    """For messages: the components of a kind whose class attribute ``attribute`` is true."""
    names = ", ".join(f'"{name}"' for name in names_with(kind, attribute))
    return f"those that do: {names}" if names else f"no installed {kind.name} does"


def build(
    kind: Kind[C],
    name: str,
    options: Mapping[str, object],
    tasks: tuple[TaskInfo, ...] = (),
    directory: Path | None = None,
) -> C:
    """The component ``name``, made with its options; paths in them are relative to ``directory``.

    Raises UnknownComponentError, ConflictError or BrokenComponentError, and pydantic's ValidationError for
    options that no spec has checked.
    """
    found = component_class(kind, name)
    return found(found.Options.model_validate(options, context={"directory": directory}), tasks)


def build_component(interface: type[C], name: str, options: Mapping[str, object] | None = None) -> C:
    """An installed component, for components that use others: ``build_component(mftkit.Executor, NAME)``.

    Args:
        interface: the base class of its kind.
        name: as specs give it.
        options: as specs give them; None: the defaults.

    Raises:
        MftError: no such component is installed, or it cannot be used.
        pydantic.ValidationError: the options are wrong.
    """
    kind: Kind[C] = next(kind for kind in kinds.KINDS if kind.interface is interface)
    return build(kind, name, options or {})


def content_of_local(kind: Kind[Component], name: str) -> list[str]:
    """What the samples of a local component depend on beside its own version: the content of its file; else nothing."""
    registration = registry().get(kind, name)
    return [registration.version] if registration.is_local else []
